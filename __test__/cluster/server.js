// One process of Java on a host of the network: a broker, a controller, ZooKeeper.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { propertiesText } = require('../support/kafka')

const JVM = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

class Server {
  #java = null
  #folder
  #classPath
  #main
  #jvm

  /**
   * @param {object} options
   * @param {string} options.name
   * @param {{name: string, address: string, prefix: string[]}} options.host
   * @param {string} options.folder for its log and properties
   * @param {string} options.classPath
   * @param {string} options.main the class, `kafka.Kafka` say
   * @param {object} options.settings
   * @param {string[]} [options.reach] where its listeners are reached
   * @param {string[]} [options.jvm] more arguments of `java`
   */
  constructor({ name, id, host, folder, classPath, main, settings, reach, jvm = [] }) {
    Object.assign(this, { name, id, host, settings, reach })
    this.#folder = folder
    this.#classPath = classPath
    this.#main = main
    this.#jvm = [...JVM, ...jvm]
  }

  start() {
    const properties = path.join(this.#folder, `${this.name}.properties`)
    fs.writeFileSync(properties, propertiesText(this.settings))
    const log = fs.openSync(this.logFile, 'a')
    const [command, ...args] = [...this.host.prefix, 'java', ...this.#jvm, '-cp', this.#classPath]
    this.#java = spawn(command, [...args, this.#main, properties], { stdio: ['ignore', log, log] })
    fs.closeSync(log)
    const java = this.#java
    java.gone = once(java, 'exit').then(() => {
      if (this.#java === java) this.#java = null
    })
  }

  get runs() {
    return this.#java !== null
  }

  get logFile() {
    return path.join(this.#folder, `${this.name}.log`)
  }

  /** The log's last lines, for a failure's message. */
  lastLines(count = 20) {
    const lines = fs.readFileSync(this.logFile, 'utf8').trimEnd().split('\n')
    return lines.slice(-count).join('\n')
  }

  /** Ends the process as a crash would, and resolves when it is gone. */
  kill() {
    return this.#end('SIGKILL')
  }

  /** Asks the process to end, and resolves when it has handed over its work and is gone. */
  stop() {
    return this.#end('SIGTERM')
  }

  async #end(signal) {
    const java = this.#java
    if (!java) return
    java.kill(signal)
    await java.gone
  }

  pause() {
    this.#java.kill('SIGSTOP')
  }

  resume() {
    this.#java?.kill('SIGCONT')
  }
}

module.exports = { Server, JVM }
