// fallback.keepRefused: what the broker refuses for good while it is live.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { readTopic } = require('./support/consume')
const { Faults } = require('./support/faults')
const { PATIENT, endPublishers, makeDirectory, makePublisher } = require('./support/publisher')
const { endRemotes, startRemote } = require('./support/remote')
const { rejectsIn, unaccounted } = require('./support/replay')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const LARGE = { text: 'x'.repeat(3000) }

let kafka
let topic
let count = 0
beforeAll(async () => {
  kafka = await sharedKafka()
})
beforeEach(async () => {
  topic = `refusing-${count++}`
  await kafka.createTopic(topic, { config: { 'max.message.bytes': 1000 } })
})
afterEach(endRemotes)
afterEach(endPublishers)
afterAll(() => Faults.removeAll())

const options = (fallback) => ({
  connectionString: kafka.bootstrap,
  defaultTopic: topic,
  ...PATIENT,
  fallback,
})
const values = async () =>
  (await readTopic(kafka.bootstrap, topic)).map(({ value }) => value.toString())

test('true: it is kept in .rejected, with the reason, and everything else goes', async () => {
  const publisher = makePublisher(options({ keepRefused: true, fileMode: 0o640 }))
  publisher.queue('a', { i: 1 })
  publisher.queue('large', LARGE)
  publisher.queue('b', { i: 2 })
  await until(() => publisher.getStatistics().replay.rejectedCnt === 1)
  const [name] = fs.readdirSync(publisher.directory)
  expect(name).toMatch(/^fallback-[0-9a-f-]{36}-000000\.log\.rejected$/)
  const file = path.join(publisher.directory, name)
  expect(fs.statSync(file).mode & 0o777).toBe(0o640)
  const [{ reason, time, line }, ...others] = rejectsIn(publisher.directory)
  expect(others).toEqual([])
  expect(reason).toMatch(/too large/i)
  expect(Date.now() - time).toBeLessThan(600_000)
  expect(JSON.parse(line)).toMatchObject({ topic, key: 'large', value: LARGE })

  // Whoever has dealt with it removes it, while the publisher lives.
  fs.rmSync(file)
  publisher.queue('again', LARGE)
  await publisher.end()
  expect(rejectsIn(publisher.directory).map((entry) => JSON.parse(entry.line).key)).toEqual([
    'again',
  ])
  const statistics = publisher.getStatistics()
  expect(statistics).toMatchObject({
    queueCnt: 4,
    sentCnt: 2,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: 2 },
  })
  expect(unaccounted(statistics)).toBe(0)
  expect(await values()).toEqual(['{"i":1}', '{"i":2}'])
})

test('true: also what is refused for another reason than its size', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    cluster.createTopic('t', { partitions: 1 })
    const publisher = makePublisher({
      ...options({ keepRefused: true }),
      connectionString: cluster.connectionString,
      defaultTopic: 't',
    })
    await publisher.init()
    // In its batch, and alone.
    cluster.failRequests('Produce', ['INVALID_RECORD', 'INVALID_RECORD'])
    publisher.queue('key', { i: 1 })
    await until(() => publisher.getStatistics().replay.rejectedCnt === 1)
    publisher.queue('key', { i: 2 })
    await publisher.end()
    const rejects = rejectsIn(publisher.directory)
    expect(rejects.map(({ line }) => JSON.parse(line).value)).toEqual([{ i: 1 }])
    expect(rejects[0].reason).toMatch(/record/i)
    expect((await cluster.readTopic('t')).map(({ value }) => value.toString())).toEqual(['{"i":2}'])
    expect(unaccounted(publisher.getStatistics())).toBe(0)
  } finally {
    await endPublishers()
    cluster.close()
  }
})

test('false, the default: it is discarded', async () => {
  const publisher = makePublisher(options({}))
  publisher.queue('large', LARGE)
  await publisher.end()
  expect(fs.readdirSync(publisher.directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    discardedCnt: { tooLarge: 1, total: 1 },
    replay: { rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
})

test.each(['write', 'sync', 'open'])('what can not be kept (%s) is discarded', async (kind) => {
  const directory = makeDirectory()
  const faults = new Faults(directory)
  const remote = await startRemote(options({ directory, keepRefused: true }), { env: faults.env })
  faults.fail(kind, 'EIO', { suffix: '.rejected', half: true })
  await remote.run(({ publisher }, value) => publisher.queue('large', value), LARGE)
  await until(async () => (await remote.statistics()).discardedCnt.tooLarge === 1)
  expect(rejectsIn(directory)).toEqual([])
  faults.heal(kind)
  await remote.run(({ publisher }, value) => publisher.queue('again', value), LARGE)
  await until(async () => (await remote.statistics()).replay.rejectedCnt === 1)
  expect(rejectsIn(directory).map(({ line }) => JSON.parse(line).key)).toEqual(['again'])
  expect(await remote.end()).toMatchObject({ discardedCnt: { total: 1 }, unaccountedCnt: 0 })
})
