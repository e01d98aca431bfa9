// Looks at fallback files as they grow.

const fs = require('node:fs')
const { startClock } = require('./delays')
const { fallbackFiles } = require('./publisher')

/**
 * Sees when each message of a load was queued, and when it is in a file, by a clock that stands still
 * while the machine is busy.
 *
 * @returns {{queued: (i: number) => void, seenAt: Map<number, number>, waits: () => {i: number, took:
 *   number}[], stop: () => void}} `queued`: to be called with each `{i}` that is queued; `waits`: how
 *   many milliseconds each took that was seen in a file
 */
function watchFiles(publisher) {
  const clock = startClock()
  const offsets = new Map()
  const queuedAt = new Map()
  const seenAt = new Map()
  const look = () => {
    for (const file of fallbackFiles(publisher.directory)) {
      const offset = offsets.get(file) ?? 0
      const complete = readComplete(file, offset)
      const now = clock.now()
      offsets.set(file, offset + complete.length)
      for (const line of complete.toString().split('\n').filter(Boolean)) {
        seenAt.set(JSON.parse(line).value.i, now)
      }
    }
  }
  const timer = setInterval(look, 10)
  return {
    queued: (i) => queuedAt.set(i, clock.now()),
    seenAt,
    waits: () => [...seenAt].map(([i, at]) => ({ i, took: at - queuedAt.get(i) })),
    stop() {
      clearInterval(timer)
      clock.stop()
    },
  }
}

/** The whole lines from `offset` on. */
function readComplete(file, offset) {
  const handle = fs.openSync(file)
  try {
    const bytes = Buffer.alloc(Math.max(0, fs.fstatSync(handle).size - offset))
    const length = fs.readSync(handle, bytes, 0, bytes.length, offset)
    return bytes.subarray(0, bytes.lastIndexOf(10, length - 1) + 1)
  } finally {
    fs.closeSync(handle)
  }
}

module.exports = { watchFiles }
