// A steady load, whose messages can be told from each other wherever they end up.

/**
 * Queues `{i}` with i = 0, 1, 2, … under one of 50 keys, `perTick` of them every 10 ms.
 *
 * @returns {{count: () => number, slowest: () => number, when: (i: number) => [number, number],
 *   stop: () => void}} `slowest`: the longest call of queue(), in milliseconds; `when`: the times
 *   before and after message `i` was queued
 */
function startLoad(publisher, { perTick = 20, topic, onQueued = () => {} } = {}) {
  let i = 0
  let slowest = 0
  const ticks = []
  const tick = () => {
    const start = Date.now()
    for (let n = 0; n < perTick; n++, i++) {
      const begin = performance.now()
      publisher.queue(keyOf(i), { i }, topic)
      slowest = Math.max(slowest, performance.now() - begin)
      onQueued(i)
    }
    ticks.push([start, Date.now()])
  }
  tick()
  const timer = setInterval(tick, 10)
  return {
    count: () => i,
    slowest: () => slowest,
    when: (number) => ticks[Math.floor(number / perTick)],
    stop: () => clearInterval(timer),
  }
}

const keyOf = (i) => `key ${i % 50}`

/** Its messages' numbers, of what was read from a topic; fails on a message that was not queued. */
function numbersInTopic(messages) {
  return messages.map(({ key, value }) => {
    const { i } = JSON.parse(value)
    if (value.toString() !== JSON.stringify({ i }) || key?.toString() !== `"${keyOf(i)}"`) {
      throw new Error(`a message that nobody queued: ${key} ${value}`)
    }
    return i
  })
}

/** The same of lines of fallback files. */
function numbersInFile(lines) {
  return lines.map(({ key, value: { i, ...rest } }) => {
    if (key !== keyOf(i) || Object.keys(rest).length > 0) {
      throw new Error(`a line that nobody queued: ${key} ${i}`)
    }
    return i
  })
}

/** Those of 0 to `count` - 1 that are in none of the lists. */
function missingFrom(count, ...lists) {
  const found = new Set(lists.flat())
  return Array.from({ length: count }, (_, i) => i).filter((i) => !found.has(i))
}

/** Numbers that are not larger than the one before them. */
function unordered(numbers) {
  return numbers.filter((number, at) => at > 0 && number <= numbers[at - 1])
}

module.exports = { startLoad, numbersInTopic, numbersInFile, missingFrom, unordered }
