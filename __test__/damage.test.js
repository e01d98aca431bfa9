// Fallback files in every state that crashes, disks and people leave them in: what can be read is
// replayed, what cannot is kept, counted and logged, and nothing stops the replay or is tried for ever.
//
// Takes long.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { endPublishers, makeDirectory, makePublisher, untilState } = require('./support/publisher')
const {
  SOON,
  leaveFile,
  rejectedBytes,
  lineOf,
  numberedLines,
  timesLogged,
  untilReplayed,
} = require('./support/replay')
const { until } = require('./support/until')

const MiB = 1024 * 1024

let cluster
let directory
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
  directory = makeDirectory()
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

const make = (options) =>
  makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    fallback: { directory },
    ...options,
  })
const arrived = async (topic = 't') =>
  (await cluster.readTopic(topic)).map(({ value }) => value.toString())
const numbers = (...all) => all.map((i) => `{"i":${i}}`)
const good = (...all) => all.map((i) => numberedLines(i, i + 1)).join('')
const rejectedOf = (file) => rejectedBytes(path.dirname(file))
// A file that is taken over has another name.
const UUID = '[0-9a-f-]{36}'
const isRejectedFile = expect.stringMatching(
  new RegExp(`^fallback-${UUID}-${UUID}-000001\\.log\\.rejected$`)
)

/** The rejected lines: their bytes are kept, counted, and logged once each. */
function expectRejected(publisher, file, content, count) {
  expect(rejectedOf(file).equals(Buffer.from(content))).toBe(true)
  expect(publisher.getStatistics()).toMatchObject({
    replay: { rejectedCnt: count },
    discardedCnt: { total: 0 },
    unaccountedCnt: 0,
  })
  expect(timesLogged(publisher, 'a line cannot be replayed')).toBe(count)
  const logged = publisher.lines.filter(({ text }) => text.includes('a line cannot be replayed'))
  const name = path.basename(file).slice('fallback-'.length)
  expect(logged.every(({ level, text }) => level === 'ERROR' && text.includes(name))).toBe(true)
}

const torn = lineOf({ value: '{"i":99}' }).slice(0, -25)

test.each([
  ['a torn last line', [good(0, 1), torn], [torn]],
  ['a torn line, and others behind it', [good(0), `${torn}\n`, good(1)], [torn]],
  ['a line that begins in the midst', [`${torn.slice(9)}\n`, good(0, 1)], [torn.slice(9)]],
  ['a line of garbage', [good(0), 'garbage, of any kind\n', good(1)], ['garbage, of any kind']],
  [
    'a line of no UTF-8',
    [good(0), Buffer.from([0xff, 0xfe, 0, 0x80, 10]), good(1)],
    [Buffer.from([0xff, 0xfe, 0, 0x80])],
  ],
  [
    'a value of no UTF-8',
    [good(0), Buffer.from('{"topic":"t","key":1,"value":{"a":"\xff\xfe"}}\n', 'latin1'), good(1)],
    [Buffer.from('{"topic":"t","key":1,"value":{"a":"\xff\xfe"}}', 'latin1')],
  ],
  ['a line of NUL bytes', [good(0), `${'\0'.repeat(5000)}\n`, good(1)], ['\0'.repeat(5000)]],
  ['NUL bytes at the end', [good(0, 1), '\0'.repeat(5000)], ['\0'.repeat(5000)]],
  [
    'valid JSON that is no message',
    [good(0), '{}\n[1,2]\n42\nnull\n"text"\n{"topic":"t"}\n{"key":"k","value":{}}\n', good(1)],
    ['{}', '[1,2]', '42', 'null', '"text"', '{"topic":"t"}', '{"key":"k","value":{}}'],
  ],
  [
    'two messages in one line',
    [good(0), `${lineOf({ value: '{"i":7}' })}${good(8)}`, good(1)],
    // They cannot be told from garbage; both are kept.
    [() => null],
  ],
])('%s: the rest is replayed, it is kept', async (_name, parts, bad) => {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const file = leaveFile(directory, content)
  const rejected = Buffer.concat(
    bad.flatMap((line) =>
      typeof line === 'function' ? [Buffer.from(parts[1])] : [Buffer.from(line), Buffer.from('\n')]
    )
  )
  const publisher = make()
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(numbers(0, 1))
  await publisher.end()
  expectRejected(publisher, file, rejected, bad.length)
  expect(publisher.getStatistics()).toMatchObject({ replay: { replayedCnt: 2 } })
  expect(fs.readdirSync(directory)).toEqual([isRejectedFile])
})

test.each([
  ['an empty file', ''],
  ['a file of empty lines', '\n\n\r\n  \n'],
])('%s is removed, and leaves nothing behind', async (_name, content) => {
  leaveFile(directory, content)
  const last = leaveFile(directory, good(0))
  const publisher = make()
  await untilReplayed(publisher)
  await publisher.end()
  expect(await arrived()).toEqual(numbers(0))
  expect(fs.existsSync(last)).toBe(false)
  expect(fs.readdirSync(directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    replay: { rejectedCnt: 0, replayedCnt: 1 },
    recoveredCnt: 1,
    unaccountedCnt: 0,
  })
})

test.each([
  ['no newline at the end', (text) => text.trimEnd()],
  ['CRLF', (text) => text.replaceAll('\n', '\r\n')],
  ['empty lines in between', (text) => `\n${text.replaceAll('\n', '\n\n\r\n')}`],
])('%s: every message is replayed, with its very bytes', async (_name, change) => {
  leaveFile(directory, change(numberedLines(0, 100)))
  const publisher = make()
  await untilReplayed(publisher)
  await publisher.end()
  const messages = await cluster.readTopic('t')
  expect(messages.map(({ value }) => value.toString())).toEqual(
    numbers(...Array.from({ length: 100 }, (_, i) => i))
  )
  expect(new Set(messages.map(({ key }) => key.toString()))).toEqual(new Set(['"k"']))
  expect(fs.readdirSync(directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    replay: { rejectedCnt: 0, replayedCnt: 100 },
    unaccountedCnt: 0,
  })
})

describe('a line of 50 MB', () => {
  const SIZE = 50 * MiB

  /** Written piece by piece, so that it is never in the memory that is measured. */
  function leaveLarge(begin, byte) {
    const file = leaveFile(directory, good(0))
    const handle = fs.openSync(file, 'a')
    fs.writeSync(handle, begin)
    const piece = Buffer.alloc(MiB, byte)
    for (let size = 0; size < SIZE; size += MiB) fs.writeSync(handle, piece)
    fs.writeSync(handle, `\n${good(1)}`)
    fs.closeSync(handle)
    return file
  }

  /** Replays what is there; by how much the process has grown meanwhile. */
  async function growthOfReplay() {
    // A first replay, so that only the second one's own memory is counted.
    const first = makeDirectory()
    leaveFile(first, numberedLines(0, 1000, { topic: 'first' }))
    const publisher = make({ fallback: { directory: first } })
    await untilReplayed(publisher)
    await publisher.end()
    const before = process.memoryUsage().rss
    let most = before
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss)
    }, 2)
    const second = make()
    await untilReplayed(second)
    clearInterval(timer)
    await second.end()
    return { publisher: second, growth: most - before }
  }

  test.each([
    ['garbage', 'x', 'x', 16 * MiB],
    ['NUL bytes', '', 0, 16 * MiB],
    // It begins as a message does: it must be read to know better.
    ['a message that never ends', '{"topic":"t","key":"k","value":{"a":"', 'x', 200 * MiB],
  ])('of %s is kept without being held in memory', async (_name, begin, byte, limit) => {
    const file = leaveLarge(begin, byte)
    const { publisher, growth } = await growthOfReplay()
    expect(growth).toBeLessThan(limit)
    expect(await arrived()).toEqual(numbers(0, 1))
    const content = rejectedOf(file)
    expect(content).toHaveLength(begin.length + SIZE + 1)
    expect(content.subarray(0, begin.length).toString()).toBe(begin)
    const rest = Buffer.alloc(SIZE, byte)
    expect(content.subarray(begin.length, -1).equals(rest)).toBe(true)
    expect(timesLogged(publisher, 'a line cannot be replayed')).toBe(1)
    expect(publisher.getStatistics()).toMatchObject({
      replay: { rejectedCnt: 1, replayedCnt: 2 },
      unaccountedCnt: 0,
    })
  })
})

test('thousands of bad records among good ones neither stop nor loop the replay', async () => {
  let content = ''
  let bad = ''
  for (let i = 0; i < 3000; i++) {
    content += good(i)
    const line = `{"topic":"t","no":${i}}\n`
    content += line
    bad += line
  }
  const file = leaveFile(directory, content)
  const publisher = make()
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(numbers(...Array.from({ length: 3000 }, (_, i) => i)))
  await publisher.end()
  expectRejected(publisher, file, bad, 3000)
  // Nothing of it is found again by the next one.
  const next = make()
  next.queue('k', { live: true })
  await until(() => next.getStatistics().sentCnt === 1, { what: 'the live message' })
  expect(next.getStatistics()).toMatchObject({
    recoveredCnt: 0,
    replay: { rejectedCnt: 0, replayedCnt: 0 },
    unaccountedCnt: 0,
  })
  expect(rejectedOf(file).toString()).toBe(bad)
})

test('garbage as the oldest thing on disk does not keep Kafka from being found again', async () => {
  const file = leaveFile(directory, `garbage\n{"no":"message"}\n`)
  fs.utimesSync(file, 1000, 1000)
  cluster.brokerDown()
  const publisher = make()
  publisher.queue('k', { i: 0 })
  await untilState(publisher, 'fallingBack')
  cluster.brokerUp()
  await untilState(publisher, 'publishing')
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(numbers(0))
  await publisher.end()
  expectRejected(publisher, file, 'garbage\n{"no":"message"}\n', 2)
})

test('a topic ../../etc/x in a line, or in queue(), changes no path', async () => {
  const inner = path.join(directory, 'a', 'b')
  fs.mkdirSync(inner, { recursive: true })
  const names = ['../../etc/x', '..', '/etc/x', 'a/b', 'a\\b', 'a\0b', '', 'x'.repeat(250)]
  const bad = names.map((topic) => lineOf({ topic, value: '{"i":-1}' }))
  const file = leaveFile(inner, `${good(0)}${bad.join('\n')}\n${good(1)}`)
  cluster.brokerDown()
  const publisher = make({ fallback: { directory: inner } })
  for (const topic of names) publisher.queue('k', { i: -2 }, topic)
  await until(() => publisher.getStatistics().queueCnt + 1 >= names.length)
  cluster.brokerUp()
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(numbers(0, 1))
  await publisher.end()
  const { replay, discardedCnt, unaccountedCnt } = publisher.getStatistics()
  expect({ rejected: replay.rejectedCnt, discarded: discardedCnt.total, unaccountedCnt }).toEqual({
    rejected: names.length,
    discarded: names.length,
    unaccountedCnt: 0,
  })
  expect(rejectedOf(file).toString()).toBe(`${bad.join('\n')}\n`)
  const below = fs.readdirSync(directory, { recursive: true }).sort()
  expect(below.slice(0, 2)).toEqual(['a', 'a/b'])
  expect(below.slice(2).map((name) => path.basename(name))).toEqual([isRejectedFile])
})

test('a topic of 249 characters goes to file and comes back, and is in no name', async () => {
  const topic = 'x'.repeat(249)
  cluster.createTopic(topic, { partitions: 1 })
  cluster.brokerDown()
  const publisher = make()
  publisher.queue('k', { i: 0 }, topic)
  await until(() => publisher.getStatistics().fallback.messages === 1)
  const files = fs.readdirSync(directory)
  expect(files.filter((name) => name.includes('xx') || name.length > 60)).toEqual([])
  cluster.brokerUp()
  await untilReplayed(publisher)
  expect(await arrived(topic)).toEqual(numbers(0))
  expect(publisher.getStatistics().unaccountedCnt).toBe(0)
})
