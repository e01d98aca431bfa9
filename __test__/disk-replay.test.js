// What a disk can do to the replay of fallback files: nothing is lost, nothing is published again and
// again, and the replay finishes by itself when the disk is well again.

const { randomUUID } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { Faults } = require('./support/faults')
const { makeDirectory, endPublishers } = require('./support/publisher')
const { endRemotes, startRemote } = require('./support/remote')
const { coreShare } = require('./support/spoil')
const { until } = require('./support/until')

const GARBAGE = 'garbage, no message'
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const line = (i) =>
  `${JSON.stringify({ topic: 't', key: 'k', value: { i }, timestamp: Date.now() })}\n`

let kafka
let directory
let file
let faults

beforeEach(() => {
  kafka = new MockCluster({ brokers: 1 })
  kafka.createTopic('t', { partitions: 1 })
  directory = makeDirectory()
  faults = new Faults(directory)
})
afterEach(async () => {
  await endRemotes()
  kafka.close()
  await endPublishers()
})
afterAll(() => Faults.removeAll())

/** A file that a process which is gone has left. */
function leaveFile(lines) {
  file = path.join(directory, `fallback-${randomUUID()}-000001.log`)
  fs.writeFileSync(file, lines.join(''))
}

async function start(replay) {
  const remote = await startRemote(
    {
      connectionString: kafka.connectionString,
      retryOptions: { minTimeout: 100, maxTimeout: 300 },
      batch: { maxWait: 5 },
      fallback: { directory, replay },
    },
    { env: faults.env }
  )
  await remote.run(({ publisher }) => publisher.init())
  return remote
}

async function published() {
  const messages = await kafka.readTopic('t')
  return messages.map(({ value }) => JSON.parse(value).i)
}

const left = () => fs.readdirSync(directory).filter((name) => !name.endsWith('.lock'))
const untilHit = (kind, count = 1) =>
  until(() => faults.hits(kind) >= count, { timeoutMs: 30_000, what: `${count} failed ${kind}` })
const untilReplayed = (remote, count) =>
  until(async () => (await remote.statistics()).replay.replayedCnt >= count, {
    timeoutMs: 30_000,
    what: `${count} replayed`,
  })
/** A file whose disk was in trouble is tried again after 10 s. */
const untilEmpty = () =>
  until(() => left().filter((name) => !name.endsWith('.rejected')).length === 0, {
    timeoutMs: 30_000,
    what: () => `a directory without files to replay; there are ${left()}`,
  })

/** Ends it; all of the file is in Kafka, each message once, and counted so. */
async function expectAllOnce(remote, count, rejected = 0) {
  expect(await remote.end()).toMatchObject({
    recoveredCnt: count + rejected,
    replay: { replayedCnt: count, rejectedCnt: rejected, files: 0, messages: 0 },
    unaccountedCnt: 0,
  })
  expect(await published()).toEqual(range(0, count))
}

test.each([
  ['write', 'ENOSPC', '.progress.new'],
  ['open', 'EROFS', '.progress.new'],
  ['rename', 'EIO', '.progress'],
])('progress can not be written (%s: %s): the replay goes on', async (kind, error, suffix) => {
  leaveFile(range(0, 3000).map(line))
  faults.fail(kind, error, { suffix })
  const remote = await start({ maxMessagesPerSecond: 3000 })
  await untilHit(kind, 3)
  await untilEmpty()
  const { filePublisher } = await remote.statistics()
  expect(filePublisher.lastError).toMatch(/cannot write progress/)
  const warnings = (await remote.lines()).filter(({ text }) => text.includes('progress of a replay'))
  expect(warnings.map(({ level }) => level)).toEqual(['WARN'])
  await expectAllOnce(remote, 3000)
  expect(fs.readdirSync(directory)).toEqual([])
})

test.each([
  ['write', 'ENOSPC'],
  ['open', 'EACCES'],
])('a line can not be kept apart (%s: %s): its file waits, and nothing goes twice', async (kind, error) => {
  leaveFile([...range(0, 100).map(line), `${GARBAGE}\n`, ...range(100, 200).map(line)])
  faults.fail(kind, error, { suffix: '.rejected', half: true })
  const remote = await start()
  await untilHit(kind)
  await untilReplayed(remote, 100)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  // Tried again after 10 s, and no sooner.
  await untilHit(kind, kind === 'write' ? 4 : 2)
  expect(await published()).toEqual(range(0, 100))
  expect(fs.existsSync(file)).toBe(true)
  faults.heal(kind)
  await untilEmpty()
  expect(fs.readFileSync(`${file}.rejected`, 'utf8')).toBe(`${GARBAGE}\n`)
  await expectAllOnce(remote, 200, 1)
})

test('a line that was kept apart can not be synced: its file stays until it was, by a write of its own', async () => {
  leaveFile([...range(0, 100).map(line), `${GARBAGE}\n`, ...range(100, 200).map(line)])
  faults.fail('sync', 'EIO', { suffix: '.rejected' })
  const remote = await start()
  await untilHit('sync')
  await untilReplayed(remote, 200)
  const writes = () => fs.readFileSync(`${file}.rejected`, 'utf8').split(`${GARBAGE}\n`).length - 1
  const before = writes()
  faults.heal('sync')
  await untilEmpty()
  // What the kernel may have dropped was written once more before a sync was believed.
  expect(writes()).toBeGreaterThan(before)
  await expectAllOnce(remote, 200, 1)
})

test.each([
  ['unlink', undefined, 'EROFS'],
  ['rename', { keep: 'archive' }, 'EIO'],
])('a file can not be removed (%s): its messages are not published again', async (kind, replay, error) => {
  leaveFile(range(0, 500).map(line))
  faults.fail(kind, error, { suffix: '.log' })
  const remote = await start(replay)
  await untilHit(kind)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  await untilHit(kind, 2)
  expect(await published()).toEqual(range(0, 500))
  expect(await remote.statistics()).toMatchObject({
    replay: { state: 'waiting', files: 1, messages: 0, replayedCnt: 500 },
    unaccountedCnt: 0,
  })
  faults.heal(kind)
  await until(() => !fs.existsSync(file), { timeoutMs: 30_000 })
  await expectAllOnce(remote, 500)
  expect(left()).toEqual(replay ? ['archive'] : [])
})

test('a file can not be read for a while, in its middle: it goes on where it was', async () => {
  // Several reads, as many bytes as are read at once.
  const count = 10_000
  leaveFile(range(0, count).map(line))
  const remote = await start({ maxMessagesPerSecond: 5000 })
  await untilReplayed(remote, 1000)
  faults.fail('read', 'EIO', { suffix: '.log' })
  await untilHit('read')
  expect(await coreShare(remote)).toBeLessThan(0.5)
  const { replay } = await remote.statistics()
  expect(replay.replayedCnt).toBeLessThan(count)
  faults.heal('read')
  await untilEmpty()
  await expectAllOnce(remote, count)
})

test('a file of another process can not be read at all: it is taken over when it can be', async () => {
  leaveFile(range(0, 100).map(line))
  faults.fail('read', 'EIO', { suffix: '.log' })
  const remote = await start()
  await untilHit('read', 2)
  expect((await remote.statistics()).recoveredCnt).toBe(0)
  faults.heal('read')
  await untilEmpty()
  await expectAllOnce(remote, 100)
})
