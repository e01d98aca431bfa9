// The class of kafka-publisher 3.2.0, as its callers know it.

const fs = require('node:fs')
const { MockCluster } = require('../testing')
const { KafkaPublisher, defaultOptions } = require('../v3')
const { readTopic } = require('./support/consume')
const { endPublishers, makeDirectory, makePublisher, readFallback } = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

/** Of the original's own test, with 10 partitions. */
const PARTITIONS = {
  'd12180e3-0fb7-4ddb-b1d2-b6d810e12de5': 0,
  '354afe16-939a-4ea8-8e17-8bb0840b6886': 4,
  'f562ac3b-2224-4e25-a0ab-56094e10c239': 5,
}

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})

const made = []
afterEach(async () => {
  await Promise.all(made.splice(0).map((publisher) => publisher.shutdown()))
  await endPublishers()
})

function make(options) {
  const lines = []
  const log = (text) => lines.push(text)
  const publisher = new KafkaPublisher({
    connectionString: kafka.bootstrap,
    logging: { error: log, warn: log, info: log, debug: log },
    ...options,
    fallback: { directory: makeDirectory(), ...options?.fallback },
  })
  made.push(publisher)
  return Object.assign(publisher, { lines })
}

/** What a callback is called with. */
const called = (queue) =>
  new Promise((resolve) => {
    queue((error, report) => resolve(error ?? report))
  })

test('keys, values, partitions and times are on the wire as 3.x had them', async () => {
  await kafka.createTopic('v3-wire', { partitions: 10 })
  const publisher = make({ defaultTopic: 'v3-wire' })
  await publisher.init()
  const before = Date.now()
  for (const key of Object.keys(PARTITIONS)) expect(publisher.queue(key, { key })).toBeUndefined()
  publisher.queue(42, { n: 42 }, null)
  publisher.queueMessages([{ key: 'many "1"', message: { n: 1 }, topic: 'v3-wire' }])
  const circular = { n: 2 }
  circular.self = circular
  publisher.queue('circular', circular)
  await publisher.shutdown()
  const read = await readTopic(kafka.bootstrap, 'v3-wire')
  const found = new Map(read.map((message) => [message.key.toString(), message]))
  expect([...found.keys()].sort()).toEqual(
    [...Object.keys(PARTITIONS), '42', 'many "1"', 'circular'].sort()
  )
  for (const [key, partition] of Object.entries(PARTITIONS)) {
    expect(found.get(key)).toMatchObject({ partition })
    expect(JSON.parse(found.get(key).value)).toEqual({ key })
    expect(found.get(key).timestamp - before).toBeLessThan(1000)
  }
  expect(found.get('circular').value.toString()).toBe('{"n":2,"self":"[Circular ~]"}')
})

test('a callback has a report as of node-rdkafka, or an error', async () => {
  await kafka.createTopic('v3-callback')
  const publisher = make({ defaultTopic: 'v3-callback' })
  publisher.queue('first', { n: 0 })
  const report = await called((cb) => publisher.queue('key', { n: 1 }, undefined, cb))
  expect(report).toEqual({
    topic: 'v3-callback',
    partition: 0,
    offset: 1,
    key: Buffer.from('key'),
    opaque: 1,
    timestamp: expect.any(Number),
    size: '{"n":1}'.length,
  })
  const failures = [
    [['key', null], 'BAD_VALUE'],
    [[{}, { n: 1 }], 'BAD_KEY'],
    [[null, { n: 1 }], 'BAD_KEY'],
    [['key', { n: 1 }, 'a b'], 'BAD_TOPIC'],
  ]
  for (const [[key, value, topic], code] of failures) {
    const error = await called((cb) => publisher.queue(key, value, topic, cb))
    expect(error).toMatchObject({ code: `ERR_KAFKA_PUBLISHER_${code}` })
  }
  const without = make({})
  const error = await called((cb) => without.queue('key', {}, null, cb))
  expect(error).toMatchObject({ code: 'ERR_KAFKA_PUBLISHER_NO_TOPIC' })
})

test('without Kafka a callback has an error, and the message is in a file with its key', async () => {
  const publisher = make({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    producer: { 'message.timeout.ms': 500 },
  })
  const error = await called((cb) => publisher.queue('key', { n: 1 }, null, cb))
  expect(error).toMatchObject({ code: 'ERR_KAFKA_PUBLISHER_FILED' })
  const { directory } = publisher.options.fallback
  expect(readFallback(directory)).toMatchObject([{ topic: 't', key: 'key', value: { n: 1 } }])
  publisher.queue('key', { n: 2 })
  await publisher.shutdown()
  expect(readFallback(directory)).toHaveLength(2)
})

test('fallback.enabled: false writes nothing; what Kafka does not take is discarded and counted', async () => {
  const publisher = make({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    producer: { 'message.timeout.ms': 500 },
    fallback: { enabled: false },
  })
  const error = await called((cb) => publisher.queue('key', { n: 1 }, null, cb))
  expect(error).toMatchObject({ code: 'ERR_KAFKA_PUBLISHER_FALLBACK_OFF' })
  await publisher.shutdown()
  expect(fs.readdirSync(publisher.options.fallback.directory)).toEqual([])
  expect(publisher.lines.some((line) => line.includes('fallback.enabled'))).toBe(true)

  const main = makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    fallback: { enabled: false },
  })
  for (let n = 0; n < 100; n++) main.queue('key', { n })
  await until(() => main.queued() === 0)
  const { discardedCnt, fallback, unaccountedCnt } = main.getStatistics()
  expect([discardedCnt.fallbackOff, discardedCnt.total, fallback.messages, unaccountedCnt]).toEqual(
    [100, 100, 0, 0]
  )
})

test('statistics have the names of 3.x; resetStatistics() works', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  const publisher = make({ connectionString: cluster.connectionString, defaultTopic: 't' })
  await publisher.init()
  for (let n = 0; n < 10; n++) publisher.queue('key', { n })
  publisher.queue('key', null)
  await until(() => publisher.pending() === 0)
  expect(publisher.getStatistics()).toEqual({
    mesgCnt: 11,
    queueCnt: 10,
    ackSuccessCnt: 10,
    ackErrorCnt: 0,
    lastStatsReset: expect.any(String),
    filePublisher: expect.objectContaining({ readySeq: 0, mesgCnt: 0, errorCnt: 0 }),
    kafkaReady: true,
    consecutiveKafkaErrorCnt: 0,
    kafkaEventErrorCnt: 0,
    lastKafkaEventError: expect.stringContaining('discarded'),
    initExecuting: false,
    connExecuting: false,
  })
  publisher.resetStatistics()
  expect(publisher.getStatistics()).toMatchObject({ mesgCnt: 0, ackSuccessCnt: 0 })
  await publisher.disconnect()
  await publisher.connect()
  publisher.queue('key', { n: 10 })
  await publisher.shutdown()
  expect(await cluster.readTopic('t')).toHaveLength(11)
  cluster.close()
})

test('options are merged with those of 3.2.0, and a wrong one throws', () => {
  const publisher = make({ defaultTopic: 't', retryOptions: { minTimeout: 5 } })
  expect(publisher.options).toMatchObject({
    defaultTopic: 't',
    producer: { 'message.timeout.ms': 10100 },
    retryOptions: { forever: true, minTimeout: 5, maxTimeout: 10000 },
    fallback: { enabled: true },
  })
  expect(defaultOptions.producer['message.timeout.ms']).toBe(10100)
  for (const options of [null, undefined, {}, { connectionString: 5 }]) {
    expect(() => new KafkaPublisher(options)).toThrow(/options must be set|connectionString/)
  }
  make({ connectionString: undefined, producer: { 'metadata.broker.list': 'localhost:1' } })
})

test('calls of 3.x on the class of 4 work, with one warning that says what to do', async () => {
  await kafka.createTopic('v3-aliases')
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'v3-aliases',
  })
  await publisher.connect()
  const report = await called((cb) => publisher.queue('key', { n: 1 }, null, cb))
  expect(report).toMatchObject({ topic: 'v3-aliases', offset: 0 })
  const error = await called((cb) => publisher.queue('key', 5, null, cb))
  expect(error).toMatchObject({ code: 'ERR_KAFKA_PUBLISHER_BAD_VALUE' })
  expect(publisher.pending()).toBe(0)
  await publisher.disconnect()
  await publisher.shutdown()
  const warnings = publisher.lines.filter(({ text }) => text.includes('kafka-publisher/v3'))
  expect(warnings).toHaveLength(1)
})
