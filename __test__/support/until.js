const { setTimeout: delay } = require('node:timers/promises')

const INTERVAL = 10
// Many times what anything takes on a busy machine: it costs nothing when nothing is wrong.
const CEILING = 90_000

/**
 * Waits for what no event tells: resolves with the condition's first truthy result.
 *
 * @template T
 * @param {() => T | Promise<T>} condition asked every 10 ms; what it throws ends the wait
 * @param {object} [options]
 * @param {string | (() => string)} [options.what] what was waited for, for the failure's message; a
 *   function is called then, to tell how far it came
 * @returns {Promise<T>}
 */
async function until(condition, { what = String(condition) } = {}) {
  const deadline = performance.now() + CEILING
  for (;;) {
    // Read before asking: a condition that comes true while the process is held up counts.
    const late = performance.now() >= deadline
    const result = await condition()
    if (result) return result
    if (late) {
      const text = typeof what === 'function' ? what() : what
      throw new Error(`waited ${CEILING} ms in vain for: ${text}`)
    }
    await delay(INTERVAL)
  }
}

module.exports = { until }
