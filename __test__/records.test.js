// Every kind of Kafka record: live, through files, and after a kill.

const path = require('node:path')
const { MockCluster } = require('../testing')
const { readTopic } = require('./support/consume')
const { TcpProxy } = require('./support/proxy')
const { endPublishers, makeDirectory, makePublisher, readFallback } = require('./support/publisher')
const { grouped, pairsOf, recordOf, textOf } = require('./support/records')
const { endRemotes, startRemote } = require('./support/remote')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const SEED = Number(process.env.RECORDS_SEED ?? Date.now() % 1e6)

afterEach(endRemotes)
afterEach(endPublishers)

/** Queues these records there; resolves with the times of the calls. */
const queueRecords = (remote, from, to, how) =>
  remote.run(
    ({ publisher, require }, support, first, end, made) => {
      const { recordOf } = require(support)
      const times = []
      for (let n = first; n < end; n++) {
        const [method, ...args] = recordOf(n, made).call
        times.push(Date.now())
        publisher[method](...args)
      }
      return times
    },
    path.join(__dirname, 'support', 'records'),
    from,
    to,
    how
  )

test('10,000 records of every kind survive an outage, a kill -9 and a replay byte for byte', async () => {
  const kafka = await sharedKafka()
  const topic = `records-${SEED}`
  await kafka.createTopic(topic, { partitions: 3 })
  const proxy = await TcpProxy.start(kafka.bootstrap)
  const options = {
    connectionString: proxy.address,
    brokerRedirection: { [kafka.bootstrap]: proxy.address },
    defaultTopic: topic,
    maxBufferedBytes: 64 << 20,
    fallback: { directory: makeDirectory() },
  }
  const how = { seed: SEED, base: Date.now() }
  const first = await startRemote(options)
  const times = await queueRecords(first, 0, 3000, how)
  await until(async () => (await first.statistics()).sentCnt === 3000)
  proxy.cut()
  times.push(...(await queueRecords(first, 3000, 7000, how)))
  await until(async () => {
    const { fallback, curQueuedCnt } = await first.statistics()
    return fallback.messages > 0 && curQueuedCnt === 0
  })
  await first.kill('SIGKILL')
  proxy.recover()
  const second = await startRemote(options)
  times.push(...(await queueRecords(second, 7000, 10_000, how)))
  await until(async () => {
    const { sentCnt, replay, fallback } = await second.statistics()
    return (
      sentCnt - replay.replayedCnt === 3000 && fallback.messages === 0 && replay.replayedCnt >= 4000
    )
  })
  const statistics = await second.end()
  await proxy.stop()
  expect(statistics).toMatchObject({
    discardedCnt: { total: 0 },
    unaccountedCnt: 0,
    replay: { rejectedCnt: 0 },
  })

  const found = new Map()
  for (const message of await readTopic(kafka.bootstrap, topic)) {
    const text = textOf({ ...message, headers: pairsOf(message.headers) })
    if (!found.has(text)) found.set(text, [])
    found.get(text).push(message)
  }
  const wrong = []
  for (let n = 0; n < 10_000; n++) {
    const { expected } = recordOf(n, how)
    const text = textOf({ ...expected, headers: grouped(expected.headers) })
    const { partition, timestamp } = expected
    const is = (message) =>
      (partition === undefined || message.partition === partition) &&
      // A message that was on its way when Kafka went has the time of its call to within milliseconds.
      (timestamp === undefined
        ? Math.abs(message.timestamp - times[n]) < 50
        : message.timestamp === timestamp)
    const messages = found.get(text) ?? []
    if (messages.length === 0 || !messages.every(is)) wrong.push({ n, expected, messages })
    found.delete(text)
  }
  expect({ seed: SEED, wrong: wrong.slice(0, 3), of: wrong.length }).toEqual({
    seed: SEED,
    wrong: [],
    of: 0,
  })
  // Nothing else is there.
  expect([...found.keys()]).toEqual([])
})

test('MockCluster gives headers as pairs, too', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: 't',
    })
    const headers = [
      ['b', '1'],
      ['a', Buffer.from([255])],
      ['b', null],
      ['', 'no name'],
    ]
    publisher.queue('key', {}, { headers })
    await publisher.end()
    const [message] = await cluster.readTopic('t')
    expect(message.headerList).toEqual(
      headers.map(([name, value]) => [name, value === null ? null : Buffer.from(value)])
    )
    expect(message.headers).toMatchObject({ b: [Buffer.from('1'), null], a: Buffer.from([255]) })
  } finally {
    cluster.close()
  }
})

test('headers behind a value of any length are whole, and a key that is too large is refused', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    cluster.createTopic('t', { partitions: 1 })
    const options = { connectionString: cluster.connectionString, defaultTopic: 't' }
    const publisher = makePublisher({ ...options, maxBufferedBytes: 1 << 20 })
    const lengths = Array.from({ length: 300 }, (_, i) => 3900 + i)
    const header = 'h'.repeat(300)
    for (const length of lengths) {
      publisher.queue('k', { text: 'x'.repeat(length) }, { headers: { header } })
      if (length % 50 === 0) await publisher.drained()
    }
    publisher.queueRecord({ key: new Uint8Array(2 << 20) })
    publisher.queue('k', {}, { headers: { large: new Uint8Array(2 << 20) } })
    await publisher.end()
    expect(publisher.getStatistics().discardedCnt).toMatchObject({ tooLarge: 2, total: 2 })
    const read = await cluster.readTopic('t')
    expect(read.map(({ value }) => JSON.parse(value).text.length)).toEqual(lengths)
    expect(read.every(({ headers }) => String(headers.header) === header)).toBe(true)
  } finally {
    cluster.close()
  }
})

test('what is wrong with a record is counted, and queue() and its like do not throw', () => {
  const publisher = makePublisher({ connectionString: '127.0.0.1:1', defaultTopic: 't' })
  const thrower = new Proxy(
    {},
    {
      get() {
        throw new Error('on purpose')
      },
    }
  )
  const calls = [
    () => publisher.queue('k', {}, { partition: -1 }),
    () => publisher.queue('k', {}, { partition: 1.5 }),
    () => publisher.queue('k', {}, { partition: '0' }),
    () => publisher.queue('k', {}, { timestamp: 'now' }),
    () => publisher.queue('k', {}, { timestamp: new Date(Number.NaN) }),
    () => publisher.queue('k', {}, { timestamp: -1 }),
    () => publisher.queue('k', {}, { headers: 'a: b' }),
    () => publisher.queue('k', {}, { headers: { a: 5 } }),
    () => publisher.queue('k', {}, { headers: { a: undefined } }),
    () => publisher.queue('k', {}, { headers: { 'a\0': 'b' } }),
    () => publisher.queue('k', {}, { headers: [null] }),
    () => publisher.queue('k', {}, thrower),
    () => publisher.queueRecord(thrower),
    () => publisher.queueRecord(),
    () => publisher.queueRecord(null),
    () => publisher.queueRecord('value'),
    () => publisher.tombstone('k', thrower),
  ]
  for (const call of calls) expect(call()).toBe(true)
  expect(publisher.getStatistics().discardedCnt).toMatchObject({
    badOptions: calls.length,
    total: calls.length,
  })
  publisher.tombstone(null)
  publisher.tombstone(undefined, { topic: 't' })
  publisher.queueRecord({ key: 5 })
  publisher.queueRecord({ value: {} })
  publisher.queue('k', 'text', { partition: 0 })
  publisher.tombstone('k', { topic: 'no such name' })
  publisher.tombstone('k', 5)
  const { discardedCnt, queueCnt, unaccountedCnt } = publisher.getStatistics()
  expect(discardedCnt).toMatchObject({
    badKey: 3,
    badValue: 2,
    badTopic: 2,
    total: calls.length + 7,
  })
  expect({ queueCnt, unaccountedCnt }).toEqual({ queueCnt: calls.length + 7, unaccountedCnt: 0 })
})

test('a file says what a record is, and jq can read it', async () => {
  const publisher = makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
  })
  publisher.queue(
    'key',
    { a: 1 },
    { headers: { h: ['1', Buffer.from([255])], n: null }, partition: 3, timestamp: 7 }
  )
  publisher.tombstone('key', 'other')
  publisher.queueRecord({ key: Buffer.from([0xff]), value: 'text', timestamp: new Date(8) })
  await publisher.end()
  const lines = readFallback(publisher.directory)
  expect(lines.map(({ crc32c, ...line }) => line)).toEqual([
    {
      topic: 't',
      key: 'key',
      value: { a: 1 },
      timestamp: 7,
      queued: expect.any(Number),
      partition: 3,
      headers: [
        ['h', '1'],
        ['h', { base64: '/w==' }],
        ['n', null],
      ],
    },
    { topic: 'other', key: 'key', value: null, timestamp: expect.any(Number) },
    {
      topic: 't',
      key: '/w==',
      keyEncoding: 'base64',
      value: 'text',
      valueEncoding: 'raw',
      timestamp: 8,
      queued: expect.any(Number),
    },
  ])
})

test('a partition that is given is kept where a partitioner chooses the others', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    cluster.createTopic('t', { partitions: 3 })
    const asked = []
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: 't',
      partitioner: {
        partition(_topic, _partitions, { key }) {
          asked.push(key)
          return 0
        },
      },
    })
    publisher.queue('chosen', { n: 1 })
    publisher.queue('given', { n: 2 }, { partition: 2 })
    await publisher.end()
    const messages = await cluster.readTopic('t')
    expect(messages.map(({ partition, key }) => [partition, String(key)])).toEqual([
      [0, '"chosen"'],
      [2, '"given"'],
    ])
    expect(asked).not.toContain('given')
  } finally {
    cluster.close()
  }
})

test('callers that queue while they are being read spoil nobody else', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: 't',
    })
    const inner = (n) => publisher.queue('inner', { n }, { headers: { own: `inner ${n}` } })
    const headers = {
      first: 'outer',
      get second() {
        inner(1)
        return 'also outer'
      },
    }
    const message = {
      toJSON() {
        inner(2)
        return { n: 0 }
      },
    }
    publisher.queue('outer', message, { headers })
    publisher.queueRecord({ key: 'raw', value: 'v', headers: { long: 'x'.repeat(5000), ü: 'ß' } })
    await publisher.publish('quoted "key"', { n: 3 })
    await publisher.end()
    const read = await cluster.readTopic('t')
    const found = Object.fromEntries(
      read.map(({ value, headerList }) => [
        value,
        headerList.map(([name, text]) => [name, text.toString()]),
      ])
    )
    expect(found['{"n":0}']).toEqual([
      ['first', 'outer'],
      ['second', 'also outer'],
    ])
    for (const n of [1, 2]) expect(found[`{"n":${n}}`]).toEqual([['own', `inner ${n}`]])
    expect(found.v).toEqual([
      ['long', 'x'.repeat(5000)],
      ['ü', 'ß'],
    ])
    expect(read.find(({ value }) => value.toString() === '{"n":3}').key.toString()).toBe(
      '"quoted \\"key\\""'
    )
  } finally {
    cluster.close()
  }
})
