const { judge } = require('./judge')

const message = (n, { at = 1000, timestamp = 1100, partition = 0, key = 'k' } = {}) => ({
  partition,
  key,
  value: JSON.stringify({ n, at }),
  timestamp,
})

/** Of one topic, with what is in its log and when which numbers were seen in a file. */
const judged = (count, log, filed = {}, more = {}) =>
  judge({
    counts: { t: count },
    read: { t: log },
    files: { of: () => new Map(Object.entries(filed).map(([n, at]) => [Number(n), at])) },
    isCalm: () => false,
    gone: {},
    ...more,
  })

test('a message that is not in Kafka was left in a file, or is lost', () => {
  const log = [message(0), message(3)]
  expect(judged(4, log)).toMatchObject({ lost: 2, left: 0 })
  expect(judged(4, log, { 2: 1500 })).toMatchObject({ lost: 1, left: 1 })
  expect(judged(4, log, {}, { gone: { t: 2 } }).lost).toBe(1)
})

test('what is there twice is counted once, and apart if it never was in a file', () => {
  const log = [message(0), message(1), message(0), message(1), message(1)]
  expect(judged(2, log, { 1: 1500 })).toMatchObject({ duplicated: 2, duplicatedLive: 1 })
})

test('order is that of live messages of one key in one partition', () => {
  const log = [message(1), message(0), message(2, { key: 'other' }), message(3, { partition: 1 })]
  expect(judged(4, log).unordered).toBe(1)
  expect(judged(4, log, { 0: 1500 }).unordered).toBe(0)
  // What comes once more is no new message.
  expect(judged(2, [message(0), message(1), message(0)]).unordered).toBe(0)
})

test('a message is in memory until it is in Kafka or in a file', () => {
  const log = [message(0, { timestamp: 9000 }), message(1, { timestamp: 9000 })]
  expect(judged(2, log, { 0: 3000 })).toMatchObject({ longestMs: 8000, over5s: 1 })
  expect(judged(2, log, { 0: 3000, 1: 2000 })).toMatchObject({ longestMs: 2000, over5s: 0 })
})

test('messages of what no fault concerned are counted when they go to file', () => {
  const log = [message(0), message(1, { partition: 1 })]
  const isCalm = (_topic, partition) => partition === 1
  expect(judged(2, log, { 0: 1500, 1: 1500 }, { isCalm })).toMatchObject({ filed: 2, calmFiled: 1 })
})
