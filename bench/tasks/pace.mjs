// A steady load: every millisecond what is due by then.

/**
 * Calls `queue(number)` `perSecond` times a second, with the numbers from 0.
 *
 * @param {() => void} [eachTick] called at the end of each tick
 * @returns {{count: () => number, stop: () => void}}
 */
export function startPace(perSecond, queue, eachTick = () => {}) {
  const begin = performance.now()
  let count = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - begin) * perSecond) / 1000
    while (count < due) queue(count++)
    eachTick()
  }, 1)
  return { count: () => count, stop: () => clearInterval(timer) }
}
