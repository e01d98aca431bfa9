// publish() and onDelivery: what became of each message is told once, whatever it was.

const fs = require('node:fs')
const path = require('node:path')
const { readTopic } = require('./support/consume')
const { inProcess } = require('./support/in-process')
const { TcpProxy } = require('./support/proxy')
const {
  PATIENT,
  endPublishers,
  makeDirectory,
  makePublisher,
  readFallback,
} = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const NOBODY = { connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 } }

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

const publisherFor = (defaultTopic, options) =>
  makePublisher({ connectionString: kafka.bootstrap, defaultTopic, ...PATIENT, ...options })

/** What a promise comes to: its value, or its error's code. */
const outcomeOf = (promise) =>
  promise.then(
    ({ outcome }) => outcome,
    ({ code }) => code
  )

test('10,000 messages are each told where they are, as a consumer finds them', async () => {
  await kafka.createTopic('deliveries-live', { partitions: 3 })
  const publisher = publisherFor('deliveries-live')
  const before = Date.now()
  const promises = []
  for (let n = 0; n < 5000; n++) {
    promises.push(publisher.publish(`key ${n % 100}`, { n }))
    promises.push(
      publisher.publishRecord({ key: 'raw', value: JSON.stringify({ n: n + 5000 }), timestamp: n })
    )
  }
  const receipts = await Promise.all(promises)
  const found = new Map()
  for (const { partition, offset, value, timestamp } of await readTopic(
    kafka.bootstrap,
    'deliveries-live'
  )) {
    found.set(`${partition} ${offset}`, { ...JSON.parse(value), timestamp })
  }
  const wrong = receipts.filter((receipt, at) => {
    const there = found.get(`${receipt.partition} ${receipt.offset}`)
    const n = at % 2 === 0 ? at / 2 : (at - 1) / 2 + 5000
    return (
      receipt.outcome !== 'kafka' ||
      receipt.topic !== 'deliveries-live' ||
      there?.n !== n ||
      there.timestamp !== receipt.timestamp
    )
  })
  expect(wrong).toEqual([])
  expect(receipts[0].timestamp).toBeGreaterThanOrEqual(before)
  expect(receipts[9].timestamp).toBe(4)
  expect(publisher.queued()).toBe(0)
})

test('without acknowledgements nobody knows the offset', async () => {
  await kafka.createTopic('deliveries-acks-0')
  const publisher = publisherFor('deliveries-acks-0', { requiredAcks: 0 })
  expect(await publisher.publish('key', {})).toMatchObject({ outcome: 'kafka', offset: null })
})

test('an outage in the middle: each is in Kafka or in a file, and is told so', async () => {
  await kafka.createTopic('deliveries-outage')
  const proxy = await TcpProxy.start(kafka.bootstrap)
  const publisher = makePublisher({
    connectionString: proxy.address,
    brokerRedirection: { [kafka.bootstrap]: proxy.address },
    defaultTopic: 'deliveries-outage',
    fallback: { replay: false },
  })
  await publisher.init()
  const promises = []
  const publish = (from, to) => {
    for (let n = from; n < to; n++) promises.push(outcomeOf(publisher.publish('key', { n })))
  }
  publish(0, 1000)
  await Promise.all(promises)
  publish(1000, 2000)
  proxy.swallow()
  publish(2000, 3000)
  const outcomes = await Promise.all(promises)
  await proxy.stop()
  const inFile = new Set(readFallback(publisher.directory).map(({ value }) => value.n))
  outcomes.forEach((outcome, n) => {
    if (outcome !== (inFile.has(n) ? 'file' : 'kafka')) throw new Error(`${n}: ${outcome}`)
  })
  expect(outcomes.slice(0, 1000).every((outcome) => outcome === 'kafka')).toBe(true)
  expect(outcomes.slice(2000).every((outcome) => outcome === 'file')).toBe(true)
  const { sentCnt, fallback, unaccountedCnt } = publisher.getStatistics()
  expect(outcomes.filter((outcome) => outcome === 'kafka')).toHaveLength(sentCnt)
  expect({ messages: fallback.messages, unaccountedCnt }).toEqual({
    messages: inFile.size,
    unaccountedCnt: 0,
  })
})

test.each([
  ['a bad key', 'BAD_KEY', [null, {}]],
  ['a bad message', 'BAD_VALUE', ['key', null]],
  ['bad headers', 'BAD_OPTIONS', ['key', {}, { headers: 5 }]],
  ['a callback beside the promise', 'BAD_OPTIONS', ['key', {}, { onDelivery() {} }]],
  ['no topic', 'NO_TOPIC', ['key', {}, null]],
  ['a bad topic', 'BAD_TOPIC', ['key', {}, 'a b']],
  ['what can never fit', 'TOO_LARGE', ['key', { text: 'x'.repeat(200_000) }]],
])('%s is rejected as %s', async (_, code, call) => {
  const publisher = makePublisher({ ...NOBODY, maxBufferedBytes: 100_000 })
  const error = await publisher.publish(...call).then(
    () => null,
    (thrown) => thrown
  )
  expect(error).toBeInstanceOf(Error)
  expect(error.code).toBe(`ERR_KAFKA_PUBLISHER_${code}`)
  expect(error.message).toMatch(/^message discarded: ./)
  expect(publisher.getStatistics().discardedCnt.total).toBe(1)
})

test('what Kafka refuses for good is rejected, also where it is kept', async () => {
  await kafka.createTopic('deliveries-small', { config: { 'max.message.bytes': 2000 } })
  const large = { text: 'x'.repeat(5000) }
  const publisher = publisherFor('deliveries-small')
  const keeping = publisherFor('deliveries-small', { fallback: { keepRefused: true } })
  const all = [publisher, keeping].flatMap((it) => [it.publish('k', {}), it.publish('k', large)])
  expect(await Promise.all(all.map(outcomeOf))).toEqual([
    'kafka',
    'ERR_KAFKA_PUBLISHER_TOO_LARGE',
    'kafka',
    'ERR_KAFKA_PUBLISHER_TOO_LARGE',
  ])
  expect(publisher.getStatistics().discardedCnt.tooLarge).toBe(1)
  await until(() => keeping.getStatistics().replay.rejectedCnt === 1)
})

test('what can neither go to Kafka nor to a file is rejected', async () => {
  const directory = path.join(makeDirectory(), 'a file')
  fs.writeFileSync(directory, '')
  const broken = makePublisher({ ...NOBODY, fallback: { directory, retryOptions: { retries: 0 } } })
  const full = makePublisher({ ...NOBODY, fallback: { maxBytes: 200 } })
  expect(await outcomeOf(broken.publish('key', {}))).toBe('ERR_KAFKA_PUBLISHER_FALLBACK_FAILED')
  expect(await outcomeOf(full.publish('key', { text: 'x'.repeat(500) }))).toBe(
    'ERR_KAFKA_PUBLISHER_FALLBACK_FULL'
  )
  expect(await outcomeOf(full.publish('key', {}))).toBe('file')
})

test('end() leaves no promise pending', async () => {
  const publisher = makePublisher({ ...NOBODY, ...PATIENT })
  const promises = []
  for (let n = 0; n < 1000; n++) promises.push(outcomeOf(publisher.publish('key', { n })))
  const late = publisher.end({ timeoutMs: 0 })
  promises.push(outcomeOf(publisher.publish('key', { n: 1000 })))
  await late
  const outcomes = await Promise.all(promises)
  expect(outcomes.pop()).toBe('ERR_KAFKA_PUBLISHER_ENDED')
  expect(new Set(outcomes)).toEqual(new Set(['file']))
  expect(readFallback(publisher.directory)).toHaveLength(1000)
})

test('memory that is full rejects what it does not take, and nothing else', async () => {
  await kafka.createTopic('deliveries-full')
  const publisher = publisherFor('deliveries-full', { maxBufferedBytes: 64 * 1024 })
  const outcomes = await Promise.all(
    Array.from({ length: 20_000 }, (_, n) => outcomeOf(publisher.publish('key', { n })))
  )
  const count = (wanted) => outcomes.filter((outcome) => outcome === wanted).length
  // What is told is counted right after.
  await publisher.end()
  const { discardedCnt, filePublisher, sentCnt, replay } = publisher.getStatistics()
  expect(count('ERR_KAFKA_PUBLISHER_BUFFER_FULL')).toBe(discardedCnt.bufferFull)
  expect(discardedCnt.bufferFull).toBe(discardedCnt.total)
  expect(count('file')).toBe(filePublisher.mesgCnt)
  expect(count('kafka')).toBe(sentCnt - replay.replayedCnt)
  expect(discardedCnt.bufferFull).toBeGreaterThan(0)
})

test('onDelivery is called with an error or a receipt, once, and never within the call', async () => {
  await kafka.createTopic('deliveries-callback')
  const publisher = publisherFor('deliveries-callback')
  const heard = []
  const options = { onDelivery: (error, receipt) => heard.push(error ? error.code : receipt) }
  publisher.queue('key', { n: 1 }, options)
  publisher.queueRecord({ value: 'n 2', ...options })
  publisher.tombstone('key', options)
  publisher.queue('key', 5, options)
  publisher.queue('key', {}, { topic: 'a b', ...options })
  publisher.queue('key', {}, { onDelivery: 5 })
  expect(heard).toEqual([])
  await until(() => heard.length === 5)
  const codes = heard.filter((it) => typeof it === 'string')
  expect(codes).toEqual(['ERR_KAFKA_PUBLISHER_BAD_VALUE', 'ERR_KAFKA_PUBLISHER_BAD_TOPIC'])
  const offsets = heard.filter((it) => typeof it === 'object').map(({ offset }) => offset)
  expect(offsets.sort()).toEqual([0, 1, 2])
  expect(publisher.getStatistics().discardedCnt).toMatchObject({ badOptions: 1, total: 3 })
})

test('a promise keeps the process alive until it is settled, and no longer', async () => {
  const { printed } = await inProcess(`
    const publisher = new KafkaPublisher(options)
    print((await publisher.publish('key', {})).outcome)
  `)
  expect(printed).toBe('file')
})

test('a callback that throws is an uncaught exception, and the next is called', async () => {
  const { printed } = await inProcess(`
    const seen = []
    process.on('uncaughtException', ({ message }) => seen.push(message))
    const publisher = new KafkaPublisher(options)
    publisher.queue('key', {}, { onDelivery: () => { throw new Error('mine') } })
    publisher.queue('key', {}, { onDelivery: (error, { outcome }) => seen.push(outcome) })
    publisher.end().then(() => setImmediate(() => print(seen)))
  `)
  expect(printed).toEqual(['mine', 'file'])
})

test('a worker thread that is terminated takes its promises along, and nothing else', async () => {
  const { printed } = await inProcess(`
    const { Worker } = require('worker_threads')
    const worker = new Worker(\`
      const { workerData, parentPort } = require('worker_threads')
      const { KafkaPublisher } = require(workerData.root)
      const publisher = new KafkaPublisher(workerData.options)
      for (let n = 0; n < 1000; n++) publisher.publish('key', { n })
      parentPort.postMessage('published')
    \`, { eval: true, workerData: { root: ${JSON.stringify(path.resolve(__dirname, '..'))}, options: { ...options, retries: { attempts: 60 } } } })
    await new Promise((resolve) => worker.once('message', resolve))
    await worker.terminate()
    const fs = require('fs')
    const lines = fs.readdirSync(directory).filter((name) => name.endsWith('.log'))
      .flatMap((name) => fs.readFileSync(require('path').join(directory, name), 'utf8').split('\\n'))
    print(lines.filter(Boolean).length)
  `)
  expect(printed).toBe(1000)
})

test('called on anything else, it rejects', async () => {
  const { KafkaPublisher } = require('..')
  await expect(KafkaPublisher.prototype.publish.call({}, 'k', {})).rejects.toThrow(TypeError)
  await expect(KafkaPublisher.prototype.publishRecord.call(null, {})).rejects.toThrow(TypeError)
})
