// A real schema registry (Apicurio, in memory, which speaks Confluent's API), fetched by Maven into the cache
// once a machine.

const { execFile, spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { freePorts } = require('./ports')
const { until } = require('./until')

const run = promisify(execFile)

// The newest that runs on Java 17.
const VERSION = '2.6.13.Final'
const NAME = 'apicurio-registry-app'
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'
const JVM = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

/** Resolves with its jar. */
async function installRegistry() {
  const home = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
  const cache = path.join(home, 'kafka-publisher')
  const folder = path.join(cache, `registry-${VERSION}`)
  if (!fs.existsSync(folder)) {
    fs.mkdirSync(cache, { recursive: true })
    const making = fs.mkdtempSync(path.join(cache, 'making-'))
    try {
      const artifact = `io.apicurio:${NAME}:${VERSION}:tar.gz:all`
      await run('mvn', [
        '-B',
        '-q',
        '-ntp',
        COPY,
        `-Dartifact=${artifact}`,
        `-DoutputDirectory=${making}`,
      ])
      const archive = path.join(making, `${NAME}-${VERSION}-all.tar.gz`)
      await run('tar', ['xzf', archive, '-C', making])
      fs.rmSync(archive)
      fs.renameSync(making, folder)
    } catch (error) {
      // Another run may have been faster.
      if (!fs.existsSync(folder)) throw error
    } finally {
      fs.rmSync(making, { recursive: true, force: true })
    }
  }
  return path.join(folder, `${NAME}-${VERSION}-runner.jar`)
}

/** Resolves when it answers: `url` is what a client of Confluent's registry takes. */
async function startRegistry() {
  const jar = await installRegistry()
  const [port] = await freePorts(1)
  const settings = ['-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`]
  const java = spawn('java', [...JVM, ...settings, '-jar', jar], { stdio: 'ignore' })
  const gone = new Promise((resolve) => java.once('exit', resolve))
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const answers = () =>
    fetch(`${url}/subjects`).then(
      ({ ok }) => ok,
      () => {
        if (java.exitCode !== null) throw new Error(`the registry ended with ${java.exitCode}`)
        return false
      }
    )
  const stop = async () => {
    java.kill('SIGKILL')
    await gone
  }
  try {
    await until(answers, { what: 'the schema registry' })
  } catch (error) {
    await stop()
    throw error
  }
  return { url, stop }
}

module.exports = { startRegistry }
