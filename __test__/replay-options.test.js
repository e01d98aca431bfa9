// The options of replay, and what may happen meanwhile.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { startClock } = require('./support/delays')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
  readFallback,
  untilState,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  numberedLines,
  sampleStatistics,
  timesLogged,
  untilReplayed,
} = require('./support/replay')
const { until } = require('./support/until')

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

const make = ({ fallback, ...options } = {}) =>
  makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    ...options,
    fallback: { directory, ...fallback },
  })
const numbers = async () => (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const queueNumbers = (publisher, from, to) => {
  for (let i = from; i < to; i++) publisher.queue('k', { i })
}

test('maxMessagesPerSecond holds the replay back, and live messages not at all', async () => {
  const PER_SECOND = 400
  leaveFile(directory, numberedLines(0, 1000))
  const publisher = make({ fallback: { replay: { maxMessagesPerSecond: PER_SECOND } } })
  const seen = []
  const clock = startClock()
  const timer = setInterval(() => {
    const before = performance.now()
    const { sentCnt, replay } = publisher.getStatistics()
    seen.push({
      before,
      after: performance.now(),
      turns: clock.now(),
      begun: replay.replayedCnt + replay.inFlightCnt,
      replayed: replay.replayedCnt,
      live: sentCnt - replay.replayedCnt,
    })
  }, 5)
  await until(() => publisher.getStatistics().replay.replayedCnt > 0)
  queueNumbers(publisher, 1000, 6000)
  await untilReplayed(publisher)
  clearInterval(timer)
  clock.stop()
  const first = seen.find(({ replayed }) => replayed > 0)
  const last = seen.find(({ replayed }) => replayed === 1000) ?? seen.at(-1)
  const rate = (1000 - first.replayed) / ((last.after - first.before) / 1000)
  expect(rate).toBeLessThan(PER_SECOND * 1.1)
  const rateInTurns = (1000 - first.replayed) / ((last.turns - first.turns) / 1000)
  expect(rateInTurns).toBeGreaterThan(PER_SECOND * 0.5)
  // Nor in bursts, once the first messages, which may have waited for Kafka, are through.
  const steady = seen.filter(({ replayed }) => replayed >= PER_SECOND / 4)
  const mostInASecond = steady.map((one) => {
    const later = steady.findLast(({ after }) => after <= one.before + 1000)
    return later ? later.begun - one.begun : 0
  })
  expect(Math.max(...mostInASecond)).toBeLessThan(PER_SECOND * 1.25)
  const allLive = seen.find(({ live }) => live === 5000)
  // They alone would take more than ten times as long at this rate.
  expect(allLive.replayed).toBeLessThan(1000)
  expect(new Set(await numbers())).toEqual(new Set(range(0, 6000)))
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: 6000, unaccountedCnt: 0 })
})

test('a large file that is held back arrives whole: it is counted ahead of what is read', async () => {
  const COUNT = 30_000
  leaveFile(directory, numberedLines(0, COUNT))
  const publisher = make({ fallback: { replay: { maxMessagesPerSecond: 10_000 } } })
  await untilReplayed(publisher)
  const { recoveredCnt, sentCnt, discardedCnt, unaccountedCnt } = publisher.getStatistics()
  expect({ recoveredCnt, sentCnt, lost: discardedCnt.total, unaccountedCnt }).toEqual({
    recoveredCnt: COUNT,
    sentCnt: COUNT,
    lost: 0,
    unaccountedCnt: 0,
  })
  expect(await numbers()).toEqual(range(0, COUNT))
})

test('resetStatistics() in mid-replay: what is left counts as carried, and the counts add up', async () => {
  leaveFile(directory, `${numberedLines(0, 500)}garbage\n${numberedLines(500, 1000)}garbage\n`)
  const publisher = make({ fallback: { replay: { maxMessagesPerSecond: 250 } } })
  const samples = sampleStatistics(publisher)
  await until(() => publisher.getStatistics().replay.rejectedCnt === 1)
  publisher.resetStatistics()
  const reset = publisher.getStatistics()
  expect(reset).toMatchObject({
    recoveredCnt: 0,
    sentCnt: 0,
    carriedCnt: reset.fallback.messages,
    replay: { replayedCnt: 0, rejectedCnt: 0, messages: reset.replay.messages, files: 1 },
  })
  expect(reset.carriedCnt).toBeGreaterThan(100)
  expect(reset.carriedCnt).toBeLessThan(1002)
  queueNumbers(publisher, 1000, 1100)
  await untilReplayed(publisher)
  expect(samples.stop().slice(0, 3)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    queueCnt: 100,
    sentCnt: reset.carriedCnt - 1 + 100,
    replay: { replayedCnt: reset.carriedCnt - 1, rejectedCnt: 1 },
    unaccountedCnt: 0,
  })
  expect(new Set(await numbers())).toEqual(new Set(range(0, 1100)))
})

describe('maxBytes', () => {
  const CAP = 100_000
  const sizeOf = () =>
    fs
      .readdirSync(directory)
      .filter((name) => !name.endsWith('.lock'))
      .reduce((sum, name) => sum + (fs.statSync(path.join(directory, name)).size ?? 0), 0)
  const full = (publisher) => publisher.getStatistics().discardedCnt.fallbackFull

  test('at the cap the newest are discarded, counted and logged; the directory stays below it', async () => {
    const publisher = make({
      connectionString: '127.0.0.1:1',
      fallback: { maxBytes: CAP, segmentBytes: 30_000 },
    })
    const samples = sampleStatistics(publisher)
    let most = 0
    for (let i = 0; i < 4000; i += 100) {
      queueNumbers(publisher, i, i + 100)
      await until(() => publisher.queued() === 0)
      most = Math.max(most, sizeOf())
    }
    expect(most).toBeLessThanOrEqual(CAP)
    expect(most).toBeGreaterThan(CAP * 0.9)
    const kept = readFallback(directory).map(({ value }) => value.i)
    expect(kept).toEqual(range(0, kept.length))
    expect(samples.stop().slice(0, 3)).toEqual([])
    await publisher.end()
    expect(publisher.getStatistics()).toMatchObject({
      queueCnt: 4000,
      discardedCnt: { fallbackFull: 4000 - kept.length, total: 4000 - kept.length },
      fallback: { messages: kept.length },
      unaccountedCnt: 0,
    })
    const logged = publisher.lines.filter(({ text }) => text.includes('messages discarded'))
    expect(logged.length).toBeGreaterThan(0)
    expect(logged.every(({ level }) => level === 'ERROR')).toBe(true)
    expect(logged[0].text).toMatch(/maxBytes|full/)
  })

  test('what others have in the directory counts, and it has room again after the replay', async () => {
    const left = numberedLines(0, 900)
    leaveFile(directory, left)
    cluster.brokerDown()
    const publisher = make({ fallback: { maxBytes: CAP } })
    const samples = sampleStatistics(publisher)
    queueNumbers(publisher, 1000, 3000)
    await until(() => full(publisher) > 0 && publisher.queued() === 0)
    expect(sizeOf()).toBeLessThanOrEqual(CAP)
    const kept = 2000 - full(publisher)
    expect(kept).toBeLessThan((CAP - left.length) / (left.length / 900))
    expect(kept).toBeGreaterThan(100)

    cluster.brokerUp()
    await untilReplayed(publisher)
    expect(new Set(await numbers())).toEqual(
      new Set([...range(0, 900), ...range(1000, 1000 + kept)])
    )
    cluster.brokerDown()
    publisher.queue('k', { i: 5000 })
    await untilState(publisher, 'fallingBack')
    queueNumbers(publisher, 5001, 5800)
    await until(() => publisher.queued() === 0)
    expect(full(publisher)).toBe(2000 - kept)
    expect(readFallback(directory).map(({ value }) => value.i)).toEqual(range(5000, 5800))
    expect(samples.stop().slice(0, 3)).toEqual([])
  })
})

test("keep 'archive' moves what was replayed to archive/, as it was, and nobody replays it again", async () => {
  const content = `${numberedLines(0, 100)}garbage\n`
  const file = path.basename(leaveFile(directory, content))
  const publisher = make({ fallback: { replay: { keep: 'archive' } } })
  await untilReplayed(publisher)
  await publisher.end()
  expect(fs.readdirSync(directory).sort()).toEqual([
    'archive',
    expect.stringMatching(/\.rejected$/),
  ])
  expect(fs.readFileSync(path.join(directory, 'archive', file), 'utf8')).toBe(content)
  const next = make()
  next.queue('k', { i: 100 })
  await until(() => next.getStatistics().sentCnt === 1)
  await next.end()
  expect(next.getStatistics()).toMatchObject({ recoveredCnt: 0, unaccountedCnt: 0 })
  expect(await numbers()).toEqual(range(0, 101))
})

test.each([
  ['false', false],
  ['{ enabled: false }', { enabled: false }],
])('replay %s leaves every file where it is', async (_name, replay) => {
  const file = leaveFile(directory, numberedLines(0, 10))
  cluster.brokerDown()
  const publisher = make({ fallback: { replay } })
  expect(publisher.getStatistics().replay.state).toBe('off')
  queueNumbers(publisher, 10, 20)
  await untilState(publisher, 'fallingBack')
  await until(() => publisher.getStatistics().fallback.messages === 10)
  cluster.brokerUp()
  await untilState(publisher, 'publishing')
  queueNumbers(publisher, 20, 30)
  await until(() => publisher.getStatistics().sentCnt === 10)
  await publisher.end()
  expect(await numbers()).toEqual(range(20, 30))
  expect(fs.readFileSync(file, 'utf8')).toMatch(/"i":9}/)
  expect(fallbackFiles(directory)).toHaveLength(2)
  expect(publisher.getStatistics()).toMatchObject({
    replay: { state: 'off', replayedCnt: 0 },
    recoveredCnt: 0,
    fallback: { messages: 10 },
    unaccountedCnt: 0,
  })
})

test('a file that somebody removes in mid-replay is counted and logged, and the next one follows', async () => {
  const file = leaveFile(directory, numberedLines(0, 1000, { timestamp: 1000 }))
  leaveFile(directory, numberedLines(1000, 1100))
  const publisher = make({ fallback: { replay: { maxMessagesPerSecond: 500 } } })
  await until(() => publisher.getStatistics().replay.replayedCnt >= 100)
  const own = path.basename(file).slice('fallback-'.length)
  fs.rmSync(fallbackFiles(directory).find((name) => name.endsWith(own)))
  await untilReplayed(publisher)
  const { sentCnt, recoveredCnt, discardedCnt, unaccountedCnt } = publisher.getStatistics()
  // What was open can be read to its end.
  expect([recoveredCnt, sentCnt + discardedCnt.fileRemoved]).toEqual([1100, 1100])
  expect([discardedCnt.total - discardedCnt.fileRemoved, unaccountedCnt]).toEqual([0, 0])
  expect((await numbers()).slice(-100)).toEqual(range(1000, 1100))
  expect(timesLogged(publisher, 'was removed by somebody else')).toBe(
    discardedCnt.fileRemoved ? 1 : 0
  )
})

test.each([
  ['maxMessagesPerSecond', { maxMessagesPerSecond: 0 }],
  ['maxMessagesPerSecond', { maxMessagesPerSecond: -1 }],
  ['keep', { keep: 'forever' }],
  ['replay', 'yes'],
])('fallback.%s of %j is refused', (name, replay) => {
  expect(() => make({ fallback: { replay } })).toThrow(new RegExp(`fallback\\.(replay\\.)?${name}`))
})
