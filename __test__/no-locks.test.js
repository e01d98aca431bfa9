// A file system without locks: nobody can tell the dead from the living but by their silence.

const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { makeOld } = require('./support/aging')
const { Child, killChildren } = require('./support/children')
const { withoutLocks } = require('./support/no-locks')
const { keyOf, messageOf, placesById } = require('./support/numbered')
const { PATIENT, endPublishers, fallbackFiles, makeDirectory } = require('./support/publisher')
const { until } = require('./support/until')

const TOPIC = 'lockless'
const NOWHERE = '127.0.0.1:1'
const IMPATIENT = { retries: { attempts: 2, delay: { min: 200, max: 200 } } }

let cluster
let directory
let env
beforeEach(() => {
  cluster = new MockCluster()
  cluster.createTopic(TOPIC, { partitions: 3 })
  directory = makeDirectory()
  env = withoutLocks(makeDirectory())
})
afterEach(async () => {
  await killChildren()
  await endPublishers()
  cluster.close()
})

function options(connectionString) {
  return {
    connectionString,
    defaultTopic: TOPIC,
    ...(connectionString === NOWHERE ? IMPATIENT : PATIENT),
    retryOptions: { minTimeout: 200, maxTimeout: 500 },
    reconnectionDelay: { min: 100, max: 500 },
    batch: { maxWait: 5 },
    fallback: { directory, fsync: 'never' },
  }
}

const start = (name, connectionString, load) =>
  new Child(name, options(connectionString), { ...load, env })

const contents = (files) => files.map((file) => fs.readFileSync(file, 'utf8'))

/** Resolves when someone has looked through the directory since the call. */
async function untilLookedThrough() {
  const stray = path.join(directory, `fallback-${crypto.randomUUID()}-000001.log`)
  const name = path.basename(stray)
  const line = { topic: TOPIC, key: keyOf(name, 0), value: messageOf(name, 0) }
  fs.writeFileSync(stray, `${JSON.stringify(line)}\n`)
  makeOld(stray)
  await until(() => !fs.existsSync(stray))
}

async function countInTopic() {
  const messages = await cluster.readTopic(TOPIC)
  return { messages: messages.length, places: placesById(messages) }
}

test('files of the dead are taken over when they have been quiet for 10 minutes', async () => {
  const dead = start('dead', NOWHERE, { first: 500 })
  await dead.until(({ fallback }) => fallback.messages === 500, '500 lines')
  const files = fallbackFiles(directory)
  const before = contents(files)
  await dead.kill()

  const other = start('other', cluster.connectionString, { first: 10 })
  await other.until(({ sentCnt }) => sentCnt === 10, 'Kafka')
  await untilLookedThrough()
  expect(contents(files)).toEqual(before)

  for (const file of files) makeOld(file)
  await other.until(({ replay }) => replay.replayedCnt === 501, 'a replay')
  await until(() => fallbackFiles(directory).length === 0)
  expect(await other.end()).toMatchObject({
    queueCnt: 10,
    recoveredCnt: 501,
    sentCnt: 511,
    unaccountedCnt: 0,
  })
  const { messages, places } = await countInTopic()
  expect([messages, places.size]).toEqual([511, 511])
  expect(fs.readdirSync(directory)).toEqual([])
})

test('files of the living are left alone as long as they are written to', async () => {
  const living = start('living', NOWHERE, { first: 100, perTick: 1 })
  await living.until(({ fallback }) => fallback.messages >= 100, '100 lines')
  const files = fallbackFiles(directory)
  const other = start('other', cluster.connectionString, { first: 10 })
  await other.until(({ sentCnt }) => sentCnt === 10, 'Kafka')
  await untilLookedThrough()
  expect(fallbackFiles(directory)).toEqual(expect.arrayContaining(files))
  expect((await other.end()).recoveredCnt).toBe(1)
  const { fallback, queueCnt, unaccountedCnt } = await living.end()
  expect([fallback.messages, unaccountedCnt]).toEqual([queueCnt, 0])
  expect((await countInTopic()).places.size).toBe(11)
})

test('two that take over the same files lose nothing', async () => {
  const dead = start('dead', NOWHERE, { first: 3000 })
  await dead.until(({ fallback }) => fallback.messages === 3000, '3000 lines')
  await dead.kill()
  for (const file of fallbackFiles(directory)) makeOld(file)

  const names = ['one', 'two', 'three']
  const heirs = names.map((name) => start(name, cluster.connectionString, { first: 10 }))
  await Promise.all(heirs.map((heir) => heir.until(({ sentCnt }) => sentCnt >= 10, 'Kafka')))
  await until(() => fallbackFiles(directory).length === 0)
  for (const heir of heirs) {
    await heir.until(({ replay }) => replay.files === 0, 'nothing to replay')
    expect(await heir.end()).toMatchObject({ queueCnt: 10, unaccountedCnt: 0 })
  }
  const { messages, places } = await countInTopic()
  expect(places.size).toBe(3030)
  // Each of them may have published all of it.
  expect(messages).toBeLessThanOrEqual(3 * 3000 + 30)
  expect(fs.readdirSync(directory)).toEqual([])
})
