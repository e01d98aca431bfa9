const { Readable, Writable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const { MockCluster } = require('../testing')
const { endPublishers, makePublisher, readFallback } = require('./support/publisher')
const { KafkaPublisher } = require('..')

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
})
afterEach(endPublishers)
afterEach(() => cluster.close())

const range = (count) => Array.from({ length: count }, (_, i) => i)

test('writable(): a pipeline publishes each message under its key, in order', async () => {
  const publisher = makePublisher({ connectionString: cluster.connectionString })
  const source = Readable.from(range(5000).map((i) => ({ i })))
  const target = publisher.writable({ topic: 't', key: ({ i }) => `key ${i}` })
  expect(target).toBeInstanceOf(Writable)
  await pipeline(source, target)
  await publisher.end()
  const messages = await cluster.readTopic('t')
  expect(messages.map(({ key, value }) => [String(key), JSON.parse(value)])).toEqual(
    range(5000).map((i) => [`"key ${i}"`, { i }])
  )
})

test('writable(): while memory is nearly full, the source is not read', async () => {
  cluster.setLatency(1000)
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    maxBufferedBytes: 1 << 20,
    fallback: { replay: false },
  })
  const text = 'x'.repeat(1000)
  let most = 0
  const source = Readable.from(
    (function* () {
      for (let i = 0; i < 10_000; i++) {
        most = Math.max(most, publisher.getStatistics().curQueuedCnt)
        yield { i, text }
      }
    })()
  )
  await pipeline(source, publisher.writable({ key: 'all' }))
  await publisher.end()
  expect(most).toBeGreaterThan(100)
  expect(most).toBeLessThan(1100)
  const inFile = readFallback(publisher.directory).map(({ value }) => value.i)
  const inTopic = (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)
  expect([...inTopic, ...inFile].sort((a, b) => a - b)).toEqual(range(10_000))
  expect(publisher.getStatistics()).toMatchObject({ spilledCnt: 0, discardedCnt: { total: 0 } })
})

test('writable(): what the key throws ends the pipeline', async () => {
  const publisher = makePublisher({ connectionString: cluster.connectionString })
  const key = () => {
    throw new Error('no key')
  }
  const target = publisher.writable({ topic: 't', key })
  await expect(pipeline(Readable.from([{ i: 0 }]), target)).rejects.toThrow('no key')
})

test('Symbol.asyncDispose is end(), and Symbol.dispose closes a cluster', async () => {
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
  })
  publisher.queue('key', { i: 0 })
  await publisher[Symbol.asyncDispose]()
  expect(publisher.getStatistics()).toMatchObject({ state: 'ended', sentCnt: 1 })
  expect(Object.keys(KafkaPublisher.prototype)).toEqual([])
  const other = new MockCluster({ brokers: 1 })
  other[Symbol.dispose]()
  expect(() => other.brokerDown()).toThrow('closed')
})
