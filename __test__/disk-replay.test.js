// What a disk can do to the replay of fallback files: nothing is lost, nothing is published again and
// again, and the replay finishes by itself when the disk is well again.
//
// A file whose disk was in trouble is tried again after 10 s: the tests wait for that side by side.
//
// Takes long.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { Faults } = require('./support/faults')
const { makeDirectory, endPublishers, fallbackFiles } = require('./support/publisher')
const { leaveFile, rejectedBytes, rejectsIn } = require('./support/replay')
const { endRemotes, startRemote } = require('./support/remote')
const { coreShare } = require('./support/spoil')
const { until } = require('./support/until')

const GARBAGE = 'garbage, no message\n'

const clusters = []
afterAll(endRemotes)
afterAll(endPublishers)
afterAll(() => {
  for (const kafka of clusters) kafka.close()
  Faults.removeAll()
})

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const lines = (from, to) =>
  range(from, to)
    .map((i) => JSON.stringify({ topic: 't', key: 'k', value: { i }, timestamp: Date.now() }))
    .map((line) => `${line}\n`)
    .join('')

/** A Kafka, and a directory with a file that a process which is gone has left. */
function leave(text) {
  const kafka = new MockCluster({ brokers: 1 })
  clusters.push(kafka)
  kafka.createTopic('t', { partitions: 1 })
  const directory = makeDirectory()
  const name = path.basename(leaveFile(directory, text))
  const faults = new Faults(directory)

  async function start(replay) {
    const options = {
      connectionString: kafka.connectionString,
      retryOptions: { minTimeout: 100, maxTimeout: 300 },
      batch: { maxWait: 5 },
      fallback: { directory, replay },
    }
    const remote = await startRemote(options, { env: faults.env })
    await remote.run(({ publisher }) => publisher.init())
    return remote
  }
  const published = async () => {
    const messages = await kafka.readTopic('t')
    return messages.map(({ value }) => JSON.parse(value).i)
  }
  const left = () => fs.readdirSync(directory).filter((name) => !name.endsWith('.lock'))
  const untilHit = (kind, count = 1) =>
    until(() => faults.hits(kind) >= count, { what: `${count} failed ${kind}` })
  const untilReplayed = (remote, count) =>
    until(async () => (await remote.statistics()).replay.replayedCnt >= count, {
      what: `${count} replayed`,
    })
  // Whatever its name is by now.
  const isThere = () => fallbackFiles(directory).length > 0
  const untilGone = () => until(() => !isThere(), { what: 'a file that is gone' })

  /** Ends it; all of the file is in Kafka, each message once, and counted so. */
  async function expectAllOnce(remote, count, rejected = 0) {
    expect(await remote.end()).toMatchObject({
      recoveredCnt: count + rejected,
      replay: { replayedCnt: count, rejectedCnt: rejected, files: 0, messages: 0 },
      unaccountedCnt: 0,
    })
    expect(await published()).toEqual(range(0, count))
  }

  return {
    directory,
    name,
    isThere,
    faults,
    start,
    published,
    left,
    untilHit,
    untilReplayed,
    untilGone,
    expectAllOnce,
  }
}

test.concurrent.each([
  ['write', 'ENOSPC', '.progress.new'],
  ['open', 'EROFS', '.progress.new'],
  ['rename', 'EIO', '.progress'],
])('progress can not be written (%s: %s): the replay goes on', async (kind, error, suffix) => {
  const disk = leave(lines(0, 3000))
  disk.faults.fail(kind, error, { suffix })
  const remote = await disk.start({ maxMessagesPerSecond: 750 })
  await disk.untilHit(kind, 3)
  await disk.untilGone()
  const { filePublisher } = await remote.statistics()
  expect(filePublisher.lastError).toMatch(/cannot write progress/)
  // Said once, however often it is tried.
  const said = await until(async () => {
    const log = await remote.lines()
    const found = log.filter(({ text }) => text.includes('the progress of a replay'))
    return found.length > 0 && found
  })
  expect(said.map(({ level }) => level)).toEqual(['WARN'])
  await disk.expectAllOnce(remote, 3000)
  expect(fs.readdirSync(disk.directory)).toEqual([])
})

test.concurrent.each([
  ['write', 'ENOSPC', 2],
  ['open', 'EACCES', 1],
])(
  'a line can not be kept apart (%s: %s): its file waits, and nothing goes twice',
  async (kind, error, hits) => {
    const disk = leave(lines(0, 100) + GARBAGE + lines(100, 200))
    disk.faults.fail(kind, error, { suffix: '.rejected', half: true })
    const remote = await disk.start()
    await disk.untilHit(kind, hits)
    await disk.untilReplayed(remote, 100)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    // One more try, and the same again.
    await disk.untilHit(kind, 2 * hits)
    expect(disk.faults.hits(kind)).toBeLessThanOrEqual(2 * hits)
    expect(await disk.published()).toEqual(range(0, 100))
    expect(disk.isThere()).toBe(true)
    disk.faults.heal(kind)
    await disk.untilGone()
    expect(rejectedBytes(disk.directory).toString()).toBe(GARBAGE)
    await disk.expectAllOnce(remote, 200, 1)
  }
)

test.concurrent('a line kept apart can not be synced: its file stays until it was written anew, and synced', async () => {
  const disk = leave(lines(0, 100) + GARBAGE + lines(100, 200))
  // So that writes are counted.
  disk.faults.fail('write', 'EIO', { suffix: '.rejected' })
  disk.faults.heal('write')
  disk.faults.fail('sync', 'EIO', { suffix: '.rejected' })
  const remote = await disk.start()
  await disk.untilHit('sync')
  await disk.untilReplayed(remote, 200)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  expect(disk.isThere()).toBe(true)
  const writes = disk.faults.calls('write')
  disk.faults.heal('sync')
  await disk.untilGone()
  expect(disk.faults.calls('write')).toBeGreaterThan(writes)
  expect(rejectedBytes(disk.directory).toString()).toBe(GARBAGE)
  await disk.expectAllOnce(remote, 200, 1)
})

test.concurrent.each([
  ['unlink', undefined, 'EROFS'],
  ['rename', { keep: 'archive' }, 'EIO'],
])(
  'a file can not be removed (%s): its messages are not published again',
  async (kind, replay, error) => {
    const disk = leave(lines(0, 500))
    // Taking it over is a rename, too.
    const suffix = replay ? `archive/${disk.name}` : '.log'
    disk.faults.fail(kind, error, { suffix })
    const remote = await disk.start(replay)
    await disk.untilHit(kind)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    await disk.untilHit(kind, 2)
    expect(await disk.published()).toEqual(range(0, 500))
    expect(await remote.statistics()).toMatchObject({
      replay: { state: 'waiting', files: 1, messages: 0, replayedCnt: 500 },
      unaccountedCnt: 0,
    })
    disk.faults.heal(kind)
    await disk.untilGone()
    await disk.expectAllOnce(remote, 500)
    expect(disk.left()).toEqual(replay ? ['archive'] : [])
  }
)

test.concurrent('a file can not be read for a while, in its middle: it goes on where it was', async () => {
  // More than is read at once.
  const count = 10_000
  const disk = leave(lines(0, count))
  const remote = await disk.start({ maxMessagesPerSecond: 2000 })
  await disk.untilReplayed(remote, 1000)
  disk.faults.fail('read', 'EIO', { suffix: '.log' })
  await disk.untilHit('read')
  expect(await coreShare(remote)).toBeLessThan(0.5)
  expect((await remote.statistics()).replay.replayedCnt).toBeLessThan(count)
  disk.faults.heal('read')
  await disk.untilGone()
  await disk.expectAllOnce(remote, count)
})

test.concurrent('a file of another process can not be read at all: it is taken over when it can be', async () => {
  const disk = leave(lines(0, 100))
  disk.faults.fail('read', 'EIO', { suffix: '.log' })
  const remote = await disk.start()
  await disk.untilHit('read', 2)
  expect((await remote.statistics()).recoveredCnt).toBe(0)
  disk.faults.heal('read')
  await disk.untilGone()
  await disk.expectAllOnce(remote, 100)
})

const PAGE = 4096
const TEXT = lines(0, 1000)

test.concurrent.each([
  ['in the middle', 3 * PAGE, true],
  ['at the beginning', 0, true],
  ['at the beginning of one whose owner may live', 0, false],
  ['at the end', Math.floor(TEXT.length / PAGE) * PAGE, true],
])(
  'a bad sector %s: the rest is published, what is lost is named, the file moves on',
  async (_name, bad, isDead) => {
    const disk = leave(TEXT)
    const file = path.join(disk.directory, disk.name)
    if (!isDead) fs.rmSync(file.replace('-000001.log', '.lock'))
    disk.faults.fail('read', 'EIO', { suffix: '.log', bytes: [bad, bad + PAGE] })
    const remote = await disk.start()
    await disk.untilGone()
    // Lines of which a part is in the page.
    const from = TEXT.lastIndexOf('\n', bad) + 1
    const to = TEXT.indexOf('\n', bad + PAGE - 1) + 1 || TEXT.length
    const good = (TEXT.slice(0, from) + TEXT.slice(to)).split('\n').filter(Boolean)
    const numbers = good.map((line) => JSON.parse(line).value.i)
    expect(await disk.published()).toEqual(numbers)
    expect(rejectsIn(disk.directory)).toMatchObject([
      {
        reason: expect.stringContaining('read'),
        file: expect.stringContaining('-000001.log'),
        offset: from,
        length: to - from,
      },
    ])
    expect(await remote.end()).toMatchObject({
      recoveredCnt: numbers.length + 1,
      replay: { replayedCnt: numbers.length, rejectedCnt: 1, files: 0, messages: 0 },
      discardedCnt: { total: 0 },
      unaccountedCnt: 0,
    })
    const [kept] = fs.readdirSync(disk.directory).filter((name) => name.endsWith('.damaged'))
    expect(fs.readFileSync(path.join(disk.directory, kept), 'utf8')).toBe(TEXT)
  }
)
