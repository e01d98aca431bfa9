// A file system without locks: the dead are told from the living by their silence.
//
// Takes long.

const fs = require('node:fs')
const { setTimeout: delay } = require('node:timers/promises')
const { MockCluster } = require('../testing')
const { Child, killChildren } = require('./support/children')
const { preload } = require('./support/preload')
const { placesById } = require('./support/numbered')
const { PATIENT, endPublishers, fallbackFiles, makeDirectory } = require('./support/publisher')
const { until } = require('./support/until')

const TOPIC = 'lockless'
const NOWHERE = '127.0.0.1:1'
const IMPATIENT = { retries: { attempts: 2, delay: { min: 200, max: 200 } } }
// Who gives no sign of life for so long is dead.
const SILENCE_MS = 30_000

const clusters = []
afterAll(async () => {
  await killChildren()
  await endPublishers()
  for (const cluster of clusters) cluster.close()
})

/** A Kafka, a directory, and how to start a process on them that has no locks. */
function world() {
  const cluster = new MockCluster()
  clusters.push(cluster)
  cluster.createTopic(TOPIC, { partitions: 3 })
  const directory = makeDirectory()
  const env = preload('no-locks', makeDirectory())
  const start = (name, connectionString, load) => {
    const options = {
      connectionString,
      defaultTopic: TOPIC,
      ...(connectionString === NOWHERE ? IMPATIENT : PATIENT),
      retryOptions: { minTimeout: 200, maxTimeout: 500 },
      reconnectionDelay: { min: 100, max: 500 },
      batch: { maxWait: 5 },
      fallback: { directory, fsync: 'never', segmentBytes: 20_000 },
    }
    return new Child(name, options, { ...load, env })
  }
  return { cluster, directory, start }
}

async function countInTopic(cluster) {
  const messages = await cluster.readTopic(TOPIC)
  return { messages: messages.length, places: placesById(messages) }
}

test.concurrent('files of the dead are taken over when they have given no sign of life for 30 s', async () => {
  const { cluster, directory, start } = world()
  const dead = start('dead', NOWHERE, { first: 500 })
  await dead.until(({ fallback }) => fallback.messages === 500, '500 lines')
  await dead.kill()
  const killed = performance.now()
  const other = start('other', cluster.connectionString, { first: 10 })
  await other.until(({ replay }) => replay.replayedCnt === 500, 'a replay')
  expect(performance.now() - killed).toBeGreaterThan(SILENCE_MS)
  await until(() => fallbackFiles(directory).length === 0)
  expect(await other.end()).toMatchObject({
    queueCnt: 10,
    recoveredCnt: 500,
    sentCnt: 510,
    unaccountedCnt: 0,
  })
  const { messages, places } = await countInTopic(cluster)
  expect([messages, places.size]).toEqual([510, 510])
  expect(fs.readdirSync(directory)).toEqual([])
})

test.concurrent('files of the living are left alone, also when nothing is written to them', async () => {
  const { cluster, directory, start } = world()
  const living = start('living', NOWHERE, { first: 100 })
  await living.until(({ fallback }) => fallback.messages >= 100, '100 lines')
  const files = fallbackFiles(directory)
  const other = start('other', cluster.connectionString, { first: 10 })
  await other.until(({ sentCnt }) => sentCnt === 10, 'Kafka')
  await delay(SILENCE_MS + 12_000)
  expect(fallbackFiles(directory)).toEqual(expect.arrayContaining(files))
  expect((await other.end()).recoveredCnt).toBe(0)
  const { fallback, queueCnt, unaccountedCnt, handedOverCnt } = await living.end()
  expect([fallback.messages, unaccountedCnt, handedOverCnt]).toEqual([queueCnt, 0, 0])
  expect((await countInTopic(cluster)).places.size).toBe(10)
})

test.concurrent('of those who take over the same files, each gets some, and nothing goes twice', async () => {
  const { cluster, directory, start } = world()
  const dead = start('dead', NOWHERE, { first: 3000 })
  await dead.until(({ fallback }) => fallback.messages === 3000, '3000 lines')
  await dead.kill()
  const names = ['one', 'two', 'three']
  const heirs = names.map((name) => start(name, cluster.connectionString, { first: 10 }))
  await Promise.all(heirs.map((heir) => heir.until(({ sentCnt }) => sentCnt >= 10, 'Kafka')))
  await until(() => fallbackFiles(directory).length === 0)
  for (const heir of heirs) {
    await heir.until(({ replay }) => replay.files === 0, 'nothing to replay')
    expect(await heir.end()).toMatchObject({ queueCnt: 10, unaccountedCnt: 0 })
  }
  const { messages, places } = await countInTopic(cluster)
  expect([messages, places.size]).toEqual([3030, 3030])
  expect(fs.readdirSync(directory)).toEqual([])
})
