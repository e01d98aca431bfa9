// What is promised in seconds is promised for a machine that has the time.

const TICK = 5
// What a machine that is not busy needs at most for such a tick.
const MOST = 4 * TICK

/**
 * A clock that goes on by no more than 20 ms at a time: what this process had to wait longer for its
 * turn is not counted. On a machine that is not busy it goes like any other.
 *
 * @returns {{now: () => number, stop: () => void}} `now`: milliseconds since the start
 */
function startClock() {
  let sum = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    sum += Math.min(now - last, MOST)
    last = now
    return sum
  }
  const timer = setInterval(look, TICK)
  return { now: look, stop: () => clearInterval(timer) }
}

module.exports = { startClock }
