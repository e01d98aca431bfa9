// Processes with a publisher each, which tests start and kill.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { until } = require('./until')

const alive = new Set()

class Child {
  #process
  #gone
  #isResting = false
  /** What its publisher's getStatistics() said last. */
  statistics = null
  /** Its log lines of level ERROR. */
  troubles = []

  /**
   * @param {string} name the messages tell it
   * @param {object} options of its publisher
   * @param {{first?: number, perTick?: number, env?: object}} [load] so many messages at once, and
   *   so many every 10 ms as long as there is room for them
   */
  constructor(name, options, { first = 0, perTick = 0, env = {} } = {}) {
    this.name = name
    const load = { first, perTick }
    this.#process = fork(
      path.join(__dirname, 'child.js'),
      [JSON.stringify({ name, options, load })],
      { env: { ...process.env, ...env } }
    )
    alive.add(this)
    this.#process.on('message', ({ what, statistics, troubles }) => {
      this.#isResting ||= what === 'resting'
      this.statistics = statistics
      this.troubles = troubles
    })
    // 'close' comes after the last message.
    this.#gone = once(this.#process, 'close').finally(() => alive.delete(this))
  }

  /** Whether it has ended, by itself or not. */
  isGone() {
    return !alive.has(this)
  }

  queue(count) {
    this.#process.send({ command: 'queue', count })
  }

  /** Resolves when it queues nothing more by itself, and its statistics are from then. */
  async rest() {
    this.#process.send({ command: 'rest' })
    await until(() => this.#isResting)
  }

  /** Resolves when its statistics say so. */
  until(condition, what) {
    return until(() => this.statistics && condition(this.statistics), {
      what: () => `${this.name}: ${what}; ${JSON.stringify(this.statistics)}`,
    })
  }

  /** SIGKILL. Resolves when it is gone. */
  async kill() {
    this.#process.kill('SIGKILL')
    const [code, signal] = await this.#gone
    if (signal !== 'SIGKILL') throw new Error(`${this.name} had ended before, with ${code}`)
  }

  /** Calls its publisher's end(). Resolves when the process has ended by itself. */
  async end() {
    this.#process.send({ command: 'end' })
    const [code, signal] = await this.#gone
    if (code !== 0) throw new Error(`${this.name} ended with ${signal ?? code}`)
    return this.statistics
  }
}

/** For `afterEach`: kills those that are left. */
async function killChildren() {
  await Promise.all([...alive].map((child) => child.kill()))
}

module.exports = { Child, killChildren }
