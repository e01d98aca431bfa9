// What an operator can choose: what is kept of what could not be published, what is discarded when the
// directory is full, how old messages may be, and who may read the files.
//
// Takes long.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
  readFallback,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  numberedLines,
  rejectsIn,
  unaccounted,
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
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const arrived = async () => (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)

describe('fallback.rejected', () => {
  const HOUR = 3_600_000

  /** A `.rejected` file of this size whose file is gone, as it looks after so many hours. */
  function leaveRejected(hours, size) {
    const file = `${leaveFile(directory, '')}.rejected`
    fs.rmSync(file.replace('.rejected', ''))
    fs.writeFileSync(file, 'x'.repeat(size))
    const time = (Date.now() - hours * HOUR) / 1000
    fs.utimesSync(file, time, time)
    return path.basename(file)
  }
  const rejected = () => fs.readdirSync(directory).filter((name) => name.endsWith('.rejected'))
  const untilLeft = (names) => until(() => rejected().length === names.length)

  test('maxBytes: the oldest go until the rest is no more', async () => {
    leaveRejected(4, 1000)
    leaveRejected(3, 1000)
    const kept = [leaveRejected(2, 1000), leaveRejected(1, 1000)]
    const publisher = make({ fallback: { rejected: { maxBytes: 2500 } } })
    await untilLeft(kept)
    expect(rejected().sort()).toEqual(kept.sort())
    await until(() =>
      publisher.lines.some(({ text }) => text.includes('.rejected file was removed'))
    )
  })

  test('maxAge: those that are older go', async () => {
    leaveRejected(4, 10)
    leaveRejected(3, 10)
    const kept = [leaveRejected(1, 10)]
    make({ fallback: { rejected: { maxAge: 2 * HOUR } } })
    await untilLeft(kept)
    expect(rejected()).toEqual(kept)
  })

  test('without it, and while their files are there, all stay', async () => {
    const names = [leaveRejected(1000, 10_000), leaveRejected(1, 10)]
    const file = leaveFile(directory, numberedLines(0, 1))
    fs.writeFileSync(`${file}.rejected`, 'in use')
    const time = Date.now() / 1000 - 10_000
    fs.utimesSync(`${file}.rejected`, time, time)
    const unlimited = make({ connectionString: '127.0.0.1:1' })
    unlimited.queue('k', { i: 1 })
    await until(() => unlimited.getStatistics().fallback.messages === 1)
    await unlimited.end()
    expect(rejected().sort()).toEqual([...names, path.basename(`${file}.rejected`)].sort())

    const publisher = make({
      connectionString: '127.0.0.1:1',
      fallback: { rejected: { maxAge: 1 } },
    })
    await until(() => rejected().length === 1)
    await publisher.end()
    expect(rejected()).toEqual([path.basename(`${file}.rejected`)])
  })
})

test('maxAge: the time at which a message was queued counts, however long ago its file was made', async () => {
  const now = Date.now()
  leaveFile(directory, numberedLines(0, 3, { timestamp: now - 1_000_000 }))
  const young = leaveFile(directory, numberedLines(3, 6, { timestamp: now }))
  fs.utimesSync(young, 1000, 1000)
  const publisher = make({ fallback: { maxAge: 900_000 } })
  await untilReplayed(publisher)
  await publisher.end()
  expect(await arrived()).toEqual(range(3, 6))
  expect(rejectsIn(directory).map(({ line }) => JSON.parse(line).value.i)).toEqual(range(0, 3))
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 6,
    sentCnt: 3,
    replay: { rejectedCnt: 3 },
    discardedCnt: { total: 0 },
    unaccountedCnt: 0,
  })
})

describe("whenFull 'discardOldest'", () => {
  const FULL = { maxBytes: 50_000, segmentBytes: 10_000, whenFull: 'discardOldest' }

  test.each([true, false])('with replay %s the newest messages are kept', async (replay) => {
    const publisher = make({
      connectionString: '127.0.0.1:1',
      fallback: { ...FULL, replay },
    })
    for (let i = 0; i < 2000; i += 100) {
      for (let n = i; n < i + 100; n++) publisher.queue('k', { i: n })
      await until(() => publisher.queued() === 0)
      const size = fallbackFiles(directory).reduce((sum, file) => sum + fs.statSync(file).size, 0)
      expect(size).toBeLessThanOrEqual(FULL.maxBytes)
    }
    await publisher.end()
    const kept = readFallback(directory).map(({ value }) => value.i)
    expect(kept).toEqual(range(2000 - kept.length, 2000))
    expect(kept.length).toBeGreaterThan(200)
    const statistics = publisher.getStatistics()
    expect(statistics).toMatchObject({
      discardedCnt: { fallbackFull: 2000 - kept.length, total: 2000 - kept.length },
      fallback: { messages: kept.length },
    })
    expect(unaccounted(statistics)).toBe(0)
  })

  test('files of others who live are not touched', async () => {
    const other = make({ connectionString: '127.0.0.1:1' })
    for (let n = 0; n < 450; n++) other.queue('k', { i: n })
    await until(() => other.getStatistics().fallback.messages === 450)
    const publisher = make({ connectionString: '127.0.0.1:1', fallback: FULL })
    for (let n = 450; n < 1500; n++) publisher.queue('k', { i: n })
    await until(() => publisher.queued() === 0)
    expect(other.getStatistics().fallback.messages).toBe(450)
    const kept = readFallback(directory).map(({ value }) => value.i)
    expect(kept.filter((i) => i < 450)).toHaveLength(450)
    const { fallback, discardedCnt } = publisher.getStatistics()
    expect(fallback.messages + discardedCnt.fallbackFull).toBe(1050)
    expect(discardedCnt.total).toBe(discardedCnt.fallbackFull)
  })
})

test('fileMode is that of every file, also of the lock of an heir who writes nothing', async () => {
  const before = process.umask(0)
  try {
    leaveFile(directory, `garbage\n${numberedLines(0, 2000)}`)
    const publisher = make({
      fallback: { fileMode: 0o620, replay: { maxMessagesPerSecond: 500 } },
    })
    const modes = await until(() => {
      const found = {}
      for (const name of fs.readdirSync(directory)) {
        const status = fs.statSync(path.join(directory, name), { throwIfNoEntry: false })
        const ending = name.match(/\.(lock|progress|rejected)$/)?.[1]
        const isOwn = ending && publisher.getStatistics().replay.replayedCnt > 0
        if (isOwn && status) found[ending] = status.mode & 0o777
      }
      return Object.keys(found).length === 3 && found
    })
    expect(modes).toEqual({ lock: 0o620, progress: 0o620, rejected: 0o620 })
  } finally {
    process.umask(before)
  }
})
