const { Partitioners } = require('kafkajs')
const stringify = require('json-stringify-safe')
const { readTopic, topicEnd } = require('./support/consume')
const { TcpProxy } = require('./support/proxy')
const {
  PATIENT,
  endPublishers,
  makePublisher,
  readFallback,
  untilSettled,
} = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

const publisherFor = (defaultTopic, options) =>
  makePublisher({ connectionString: kafka.bootstrap, defaultTopic, ...PATIENT, ...options })

describe('20,000 messages with string, number and object keys', () => {
  const COUNT = 20_000
  const PARTITIONS = 5
  let expected
  let arrived
  let statistics
  let fallback
  let begin
  let end

  const keyOf = (i) =>
    [
      `customer-${i % 97}`,
      i % 89,
      { tenant: i % 7, region: ['eu', 'ü', '"'][i % 3] },
      `quote " backslash \\ line\nbreak ${i % 5} \u0001 \ud83d\ude00 \ud800`,
      -(i % 11) / 8,
      [i % 13, null, 'list'],
    ][i % 6]

  function messageOf(i) {
    const value = {
      i,
      text: 'é€\ud83d\ude00 "quoted" \\ \n \u2028 \udc00',
      nested: { list: [1.5, -0, 1e21, null, true, undefined, [[]]], when: new Date(i) },
      left: undefined,
      padding: 'x'.repeat(i % 200),
    }
    if (i % 100 === 0) value.nested.self = value
    if (i % 100 === 50) value.nested.list.push(value.nested)
    return value
  }

  beforeAll(async () => {
    await kafka.createTopic('many', { partitions: PARTITIONS })
    const publisher = publisherFor('many')
    begin = Date.now()
    expected = []
    for (let i = 0; i < COUNT; i++) {
      expected.push({ key: stringify(keyOf(i)), value: stringify(messageOf(i)) })
      publisher.queue(keyOf(i), messageOf(i))
    }
    await publisher.end()
    end = Date.now()
    statistics = publisher.getStatistics()
    fallback = readFallback(publisher.directory)
    arrived = (await readTopic(kafka.bootstrap, 'many')).map((message) => ({
      ...message,
      i: JSON.parse(message.value).i,
    }))
  })

  test('arrive, each once, and nothing else does', () => {
    expect(arrived).toHaveLength(COUNT)
    expect(new Set(arrived.map(({ i }) => i)).size).toBe(COUNT)
    expect(fallback).toEqual([])
    expect(statistics).toMatchObject({
      queueCnt: COUNT,
      sentCnt: COUNT,
      curQueuedCnt: 0,
      discardedCnt: { total: 0 },
      unaccountedCnt: 0,
    })
  })

  test('arrive byte for byte: key and value are the JSON texts', () => {
    const different = arrived.filter(
      ({ i, key, value }) =>
        !key.equals(Buffer.from(expected[i].key)) || !value.equals(Buffer.from(expected[i].value))
    )
    expect(different).toEqual([])
  })

  test('arrive in the order in which they were queued, inside each partition', () => {
    const unordered = arrived.filter(({ partition, i }, at) => {
      const before = arrived[at - 1]
      return before?.partition === partition && before.i >= i
    })
    expect(unordered).toEqual([])
  })

  test('go to the partition that a Java client chooses for the key', () => {
    const partitioner = Partitioners.DefaultPartitioner()
    const partitionMetadata = Array.from({ length: PARTITIONS }, (_, partitionId) => ({
      partitionId,
      leader: 1,
    }))
    const elsewhere = arrived.filter(
      ({ key, partition }) =>
        partitioner({ topic: 'many', partitionMetadata, message: { key } }) !== partition
    )
    expect(elsewhere).toEqual([])
    expect(new Set(arrived.map(({ partition }) => partition)).size).toBe(PARTITIONS)
  })

  test('carry the time at which they were published, and no headers', () => {
    const times = arrived.map(({ timestamp }) => timestamp)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(begin)
    expect(Math.max(...times)).toBeLessThanOrEqual(end)
    expect(arrived.filter(({ headers }) => Object.keys(headers).length > 0)).toEqual([])
  })
})

describe('requiredAcks', () => {
  const COUNT = 500

  function queueAll(publisher) {
    for (let i = 0; i < COUNT; i++) publisher.queue(i, { i })
  }

  test.each([-1, 1, 0])('%i: all messages arrive', async (requiredAcks) => {
    const topic = `acks${requiredAcks}`
    await kafka.createTopic(topic)
    const publisher = publisherFor(topic, { requiredAcks })
    queueAll(publisher)
    await publisher.end()
    expect(publisher.getStatistics()).toMatchObject({ sentCnt: COUNT })
    // With 0 they are sent when they have left: the broker may be about to take them.
    await until(async () => (await topicEnd(kafka.bootstrap, topic)) >= COUNT, {
      what: `${COUNT} messages in ${topic}`,
    })
    const arrived = await readTopic(kafka.bootstrap, topic)
    expect(arrived.map(({ value }) => JSON.parse(value).i)).toEqual([...Array(COUNT).keys()])
  })

  test('0 waits for no answer', async () => {
    await kafka.createTopic('no-answer')
    const proxy = await TcpProxy.start(kafka.bootstrap)
    try {
      const publisher = publisherFor('no-answer', {
        requiredAcks: 0,
        brokerRedirection: { [kafka.bootstrap]: proxy.address },
      })
      await publisher.init()
      publisher.queue('first', { connects: true })
      await until(async () => (await topicEnd(kafka.bootstrap, 'no-answer')) === 1, {
        what: 'the first message',
      })
      // An answer that librdkafka still waits for, to another request, would hold the messages up.
      await until(() => proxy.quietFor > 1000, { what: 'an idle connection' })
      proxy.silence()
      queueAll(publisher)
      await untilSettled(publisher)
      expect(publisher.getStatistics()).toMatchObject({ sentCnt: COUNT + 1, state: 'publishing' })
      await until(async () => (await topicEnd(kafka.bootstrap, 'no-answer')) === COUNT + 1, {
        what: 'all messages',
      })
      expect(readFallback(publisher.directory)).toEqual([])
    } finally {
      await endPublishers()
      await proxy.stop()
    }
  })
})

test("keyEncoding 'raw' puts string keys on the wire without quotes, other keys as JSON", async () => {
  await kafka.createTopic('raw')
  const publisher = publisherFor('raw', { keyEncoding: 'raw' })
  const keys = ['plain', 'é "\\ \n', '5', '', 5, { a: 'b' }]
  for (const key of keys) publisher.queue(key, {})
  await publisher.end()
  const arrived = await readTopic(kafka.bootstrap, 'raw')
  expect(arrived.map(({ key }) => key?.toString())).toEqual([...keys.slice(0, 4), '5', '{"a":"b"}'])
})

test("a message's own topic overrides defaultTopic", async () => {
  await kafka.createTopic('default')
  await kafka.createTopic('other')
  const publisher = publisherFor('default')
  publisher.queue('a', { n: 1 })
  publisher.queue('a', { n: 2 }, 'other')
  publisher.queue('a', { n: 3 }, undefined)
  await publisher.end()
  const values = async (topic) =>
    (await readTopic(kafka.bootstrap, topic)).map(({ value }) => value.toString())
  expect(await values('default')).toEqual(['{"n":1}', '{"n":3}'])
  expect(await values('other')).toEqual(['{"n":2}'])
})

test('two publishers in a process keep their options and their counts apart', async () => {
  await kafka.createTopic('mine')
  await kafka.createTopic('yours')
  const shared = {
    connectionString: kafka.bootstrap,
    defaultTopic: 'mine',
    clientId: 'me',
    ...PATIENT,
  }
  const mine = makePublisher(shared)
  // The first has its own copy.
  const yours = makePublisher(
    Object.assign(shared, { defaultTopic: 'yours', keyEncoding: 'raw', codec: 'gzip' })
  )
  for (let i = 0; i < 100; i++) {
    mine.queue('key', { i, of: 'mine' })
    if (i % 2 === 0) yours.queue('key', { i, of: 'yours' })
  }
  await Promise.all([mine.end(), yours.end()])
  const [inMine, inYours] = await Promise.all(
    ['mine', 'yours'].map((topic) => readTopic(kafka.bootstrap, topic))
  )
  const view = ({ key, value }) => `${key} ${JSON.parse(value).of}`
  expect(inMine.map(view)).toEqual(Array(100).fill('"key" mine'))
  expect(inYours.map(view)).toEqual(Array(50).fill('key yours'))
  expect(mine.getStatistics()).toMatchObject({ queueCnt: 100, sentCnt: 100 })
  expect(yours.getStatistics()).toMatchObject({ queueCnt: 50, sentCnt: 50 })
})
