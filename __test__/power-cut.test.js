// What a power cut may take, and what it may not: lines that counted as synced, what has not arrived
// yet, what was kept apart; and it does not bring back what is done.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { Faults } = require('./support/faults')
const { PowerCut } = require('./support/power-cut')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  numberedLines,
  rejectsIn,
  unaccounted,
  untilReplayed,
} = require('./support/replay')
const { endRemotes, startRemote } = require('./support/remote')
const { until } = require('./support/until')

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
})
afterEach(async () => {
  await endRemotes()
  await endPublishers()
  cluster.close()
})
afterAll(() => {
  PowerCut.removeAll()
  Faults.removeAll()
})

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const arrived = async () => (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)
const sorted = (numbers) => [...new Set(numbers)].sort((a, b) => a - b)

const options = (directory, more) => ({
  connectionString: cluster.connectionString,
  defaultTopic: 't',
  ...SOON,
  ...more,
  fallback: { directory, fsync: 'always', ...more?.fallback },
})

/** A publisher on a machine whose power is going to fail. */
async function startOnMachine(directory, more) {
  const power = new PowerCut(directory)
  const faults = new Faults(directory)
  const remote = await startRemote(options(directory, more), {
    env: { ...faults.env, ...power.env },
  })
  /** What whoever comes next finds. */
  const cut = async (how) => {
    const found = makeDirectory()
    power.cut(found, how)
    return found
  }
  return { remote, faults, cut }
}

/** The next publisher on a directory, until nothing is left there. */
async function replay(directory) {
  const publisher = makePublisher(options(directory))
  await publisher.init()
  await untilReplayed(publisher)
  await publisher.end()
  expect(unaccounted(publisher.getStatistics())).toBe(0)
  return publisher.getStatistics()
}

const numbersIn = (directory) =>
  fallbackFiles(directory)
    .flatMap((file) => fs.readFileSync(file, 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line).value.i)

const HOW = [
  ['nothing since the last sync is there', {}],
  ['only removals since then are', { removals: true }],
]

test('what counts as on disk with fsync always is there after it', async () => {
  const directory = makeDirectory()
  const { remote, cut } = await startOnMachine(directory, {
    connectionString: '127.0.0.1:1',
    fallback: { segmentBytes: 2000 },
  })
  const counted = []
  for (let i = 0; i < 100; i += 10) {
    await remote.queue(i, i + 10)
    counted.push(await until(async () => (await remote.statistics()).fallback.messages >= i + 10))
  }
  await remote.kill()
  expect(fallbackFiles(directory).length).toBeGreaterThan(3)
  for (const [, how] of HOW) expect(numbersIn(await cut(how))).toEqual(range(0, 100))
})

test('with interval, all that was sealed is there', async () => {
  const directory = makeDirectory()
  const { remote, cut } = await startOnMachine(directory, {
    connectionString: '127.0.0.1:1',
    fallback: { segmentBytes: 2000, fsync: 'interval' },
  })
  await remote.queue(0, 100)
  await until(async () => (await remote.statistics()).fallback.messages === 100)
  await remote.end()
  for (const [, how] of HOW) expect(numbersIn(await cut(how))).toEqual(range(0, 100))
})

test('of a directory that had to be made, the name is on the disk, too', async () => {
  const above = makeDirectory()
  const directory = path.join(above, 'not', 'there')
  const faults = new Faults(above)
  // So that syncs of this directory are counted.
  const syncs = async (of) => {
    faults.fail('sync', 'EIO', { suffix: of })
    faults.heal('sync')
  }
  await syncs(path.basename(above))
  const remote = await startRemote(
    options(directory, { connectionString: '127.0.0.1:1', retries: { attempts: 1 } }),
    { env: faults.env }
  )
  await remote.queue(0, 1)
  await until(async () => (await remote.statistics()).fallback.messages === 1)
  expect(faults.calls('sync')).toBe(1)
  await remote.end()
})

describe.each(HOW)('%s', (_name, how) => {
  test('what is replayed is gone for good', async () => {
    const directory = makeDirectory()
    leaveFile(directory, `${numberedLines(0, 50)}garbage\n`)
    leaveFile(directory, numberedLines(50, 100))
    const { remote, cut } = await startOnMachine(directory)
    await remote.run(({ publisher }) => publisher.init())
    await until(async () => {
      const { sentCnt, replay: left } = await remote.statistics()
      return sentCnt === 100 && left.files === 0
    })
    await remote.end()
    const found = await cut(how)
    expect(fallbackFiles(found)).toEqual([])
    expect(rejectsIn(found).map(({ line }) => line)).toEqual(['garbage'])
    expect((await arrived()).sort((a, b) => a - b)).toEqual(range(0, 100))
  })

  test('in mid-replay: nothing is lost', async () => {
    const directory = makeDirectory()
    leaveFile(directory, `garbage\n${numberedLines(0, 300)}`)
    leaveFile(directory, numberedLines(300, 400))
    const { remote, cut } = await startOnMachine(directory, {
      fallback: { replay: { maxMessagesPerSecond: 1000 } },
    })
    await remote.run(({ publisher }) => publisher.init())
    await until(async () => (await remote.statistics()).replay.replayedCnt > 50)
    await remote.kill()
    const found = await cut(how)
    await replay(found)
    expect(sorted(await arrived())).toEqual(range(0, 400))
    expect(sorted(rejectsIn(found).map(({ line }) => line))).toEqual(['garbage'])
  })

  test('messages that were copied out of a large file are not lost', async () => {
    cluster.createTopic('gone', { partitions: 1 })
    cluster.setTopicError('gone', 'UNKNOWN_TOPIC_OR_PARTITION')
    const directory = makeDirectory()
    const text = 'x'.repeat(1000)
    let content = numberedLines(0, 1, { topic: 'gone' })
    for (let i = 1; i < 1500; i++) {
      content += numberedLines(i, i + 1).replace('"i"', `"text":"${text}","i"`)
    }
    leaveFile(directory, content)
    const { remote, cut } = await startOnMachine(directory)
    await remote.run(({ publisher }) => publisher.init())
    const sizes = () => fallbackFiles(directory).map((file) => fs.statSync(file).size)
    await until(async () => {
      const { replay: left } = await remote.statistics()
      return left.replayedCnt === 1499 && Math.max(...sizes()) < 1000
    })
    await remote.kill()
    cluster.setTopicError('gone', null)
    const found = await cut(how)
    await replay(found)
    const gone = await cluster.readTopic('gone')
    expect(gone.map(({ value }) => value.toString())).toEqual(['{"i":0}'])
  })
})
