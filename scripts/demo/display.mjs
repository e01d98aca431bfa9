// What a person sees while the demo runs: lines of what happens, and below them, in a terminal, a
// panel that is drawn anew ten times a second. Without a terminal, a line of numbers once a second.

import { styleText } from 'node:util'
import { createLogUpdate } from 'log-update'

const LIVE_INTERVAL = 100
const PLAIN_INTERVAL = 1000
const RATE_OVER = 1000

const STATES = {
  created: ['dim', 'not started'],
  connecting: ['yellow', 'connecting'],
  publishing: ['green', 'publishing'],
  fallingBack: ['red', 'falling back'],
  ended: ['dim', 'ended'],
}
const BARS = [
  ['queued', 'cyan'],
  ['delivered', 'green'],
  ['in file', 'red'],
  ['replayed', 'green'],
  ['in memory', 'yellow'],
]
const LEVELS = { ERROR: 'red', WARN: 'yellow' }

export const number = (value) => Math.round(value).toLocaleString('en-US')

export class Display {
  #stream
  #update // null if there is no terminal to draw in
  #begin = performance.now()
  #doing = { text: '' }
  #history = []
  #sample
  #expected
  #timer

  constructor(stream = process.stdout) {
    this.#stream = stream
    // A pseudo-terminal that nobody looks at may have no size.
    const isLive = stream.isTTY && stream.columns > 0 && stream.rows > 0
    this.#update = isLive && process.env.TERM !== 'dumb' ? createLogUpdate(stream) : null
  }

  /**
   * Begins to show what `sample()` gives: `state`, and the count of each bar by its name.
   * `expected` messages fill a bar.
   */
  watch(sample, expected) {
    this.#sample = sample
    this.#expected = expected
    const interval = this.#update ? LIVE_INTERVAL : PLAIN_INTERVAL
    this.#timer = setInterval(() => this.#refresh(), interval)
  }

  /** What is being done now; `ms`, if it is known, is how long it takes. */
  step(text, ms) {
    this.#doing = { text, end: ms && performance.now() + ms }
    this.#line(this.style('bold', ms ? `${text}, for ${ms / 1000} s` : text))
  }

  /** What the person has to do now. */
  ask(text) {
    this.#doing = { text, asking: true }
    this.#line(this.style(['bold', 'yellow'], `>>> ${text}`))
  }

  /** A line of the publisher's own log. */
  log(level, text) {
    this.#line(this.style(LEVELS[level] ?? 'dim', `${level.padEnd(5)} ${text}`))
  }

  /** The panel stays as it is now, and what is printed from now on comes below it. */
  stop() {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#doing = { text: '' }
    if (!this.#sample) return
    this.#refresh()
    this.#update?.done()
    this.#sample = undefined
  }

  /** Text for this display's stream; without colours if that has none, or NO_COLOR is set. */
  style(format, text) {
    return this.#stream.isTTY && this.#stream.hasColors() ? styleText(format, text) : text
  }

  #line(text) {
    const line = `${this.#clock()}  ${text.replace(/\s*\n\s*/g, ' ')}`
    if (this.#update) {
      this.#update.persist(line)
      this.#refresh()
    } else {
      this.#stream.write(`${line}\n`)
    }
  }

  #refresh() {
    if (!this.#sample) return
    const sample = { at: performance.now(), ...this.#sample() }
    const from = sample.at - RATE_OVER - LIVE_INTERVAL / 2
    this.#history = [...this.#history.filter(({ at }) => at >= from), sample]
    if (this.#update) this.#update(this.#panel(sample))
    else if (this.#timer) this.#stream.write(`${this.#numbers(sample)}\n`)
  }

  #panel(sample) {
    const [color, state] = STATES[sample.state]
    const width = Math.min(Math.max(this.#stream.columns - 40, 10), 50)
    const scale = Math.max(this.#expected, sample.queued)
    const bars = BARS.map(([name, barColor]) => {
      const full = Math.round((sample[name] / scale) * width)
      const bar =
        this.style(barColor, '█'.repeat(full)) + this.style('dim', '░'.repeat(width - full))
      const rate = name === 'in memory' ? '' : `${number(this.#rate(name)).padStart(7)}/s`
      return `  ${name.padEnd(10)} ${bar} ${number(sample[name]).padStart(9)}${rate}`
    })
    const now = this.#now()
    return [
      '',
      `  publisher  ${this.style(color, `● ${state}`)}`,
      ...bars,
      ...(now ? ['', `${this.#clock()}  ${now}`] : []),
    ].join('\n')
  }

  #now() {
    const { text, end, asking } = this.#doing
    if (asking) return this.style(['bold', 'yellow'], `>>> ${text}`)
    const left = end && Math.ceil((end - performance.now()) / 1000)
    return left > 0 ? `${text} (${left} s left)` : text
  }

  #numbers(sample) {
    const counts = BARS.map(([name]) => `${name} ${number(sample[name])}`)
    const rate = `${number(this.#rate('queued'))}/s`
    const [, state] = STATES[sample.state]
    return `${this.#clock()}  ${state.padEnd(12)}  ${counts.join('  ')}  ${rate}`
  }

  /** Messages per second, over the last second. */
  #rate(name) {
    const first = this.#history[0]
    const last = this.#history.at(-1)
    const seconds = (last.at - first.at) / 1000
    return seconds > 0 ? (last[name] - first[name]) / seconds : 0
  }

  #clock() {
    return `${((performance.now() - this.#begin) / 1000).toFixed(1).padStart(5)} s`
  }
}
