// A publisher under load in a process of its own, watched from outside.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { until } = require('../support/until')
const { FileWatch } = require('./file-watch')

const PROGRAM = path.join(__dirname, 'publisher.cjs')

class Publishing {
  #child
  #gone
  /** What its publisher said last: counts, statistics. */
  last = null
  /** Its log: `{at, level, text}`. */
  lines = []
  /** Its states, each with the time at which it was seen first. */
  states = []
  /** The largest `unaccountedCnt` that was seen, either way. */
  unaccounted = 0

  /** @param {string[]} prefix the command that starts others at its place */
  constructor(options, { prefix }) {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-fallback-'))
    this.files = new FileWatch(this.directory)
    const [command, ...args] = [...prefix, process.execPath, PROGRAM]
    this.#child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message) => this.#hear(message))
    this.#gone = once(this.#child, 'exit').then(([code, signal]) => signal ?? code)
    const fallback = { fsync: 'never', ...options.fallback, directory: this.directory }
    this.#tell({ task: 'open', options: { ...options, fallback } })
  }

  #hear({ at, counts, statistics, lines }) {
    this.last = { counts, statistics }
    this.lines.push(...lines)
    const { state, unaccountedCnt } = statistics
    if (this.states.at(-1)?.state !== state) this.states.push({ at, state })
    if (Math.abs(unaccountedCnt) > Math.abs(this.unaccounted)) this.unaccounted = unaccountedCnt
  }

  #tell(message) {
    this.#child.send(message)
  }

  /** `bytes`: what each message has more than its numbers. */
  load(topics, { perSecond, keys, bytes }) {
    this.#tell({ task: 'load', topics, perSecond, keys, bytes })
  }

  stopLoad() {
    this.#tell({ task: 'stop' })
  }

  /** Resolves when its statistics say so. */
  until(condition, what, timeoutMs) {
    return until(() => this.last && condition(this.last.statistics), {
      timeoutMs,
      what: () => `${what}; ${JSON.stringify(this.last?.statistics)}`,
    })
  }

  /** `end()`, and the process's own. */
  async end() {
    this.#tell({ task: 'end' })
    const how = await this.#gone
    if (how !== 0) throw new Error(`the publisher's process ended with ${how}`)
    this.files.stop()
  }

  /** For what has failed before `end()`. */
  async remove() {
    this.#child.kill('SIGKILL')
    await this.#gone
    this.files.stop()
    fs.rmSync(this.directory, { recursive: true, force: true })
  }
}

module.exports = { Publishing }
