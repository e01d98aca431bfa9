// The publisher mends itself: what one broker, one topic or one producer id suffers stays its own,
// and is over when its cause is. On the embedded cluster, which fails on command.

const { MockCluster } = require('../testing')
const { makePublisher, endPublishers, readFallback, untilState } = require('./support/publisher')
const { until } = require('./support/until')
const { watchFiles } = require('./support/watch')

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 3 })
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

const make = (options) =>
  makePublisher({
    connectionString: cluster.connectionString,
    batch: { maxWait: 5 },
    reconnectionDelay: { min: 50, max: 200 },
    retryOptions: { minTimeout: 100, maxTimeout: 300 },
    ...options,
  })
const numbers = async (topic) =>
  (await cluster.readTopic(topic)).map(({ value }) => JSON.parse(value).i)
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const queueNumbers = (publisher, topic, from, to) => {
  for (let i = from; i < to; i++) publisher.queue('k', { i }, topic)
}
const states = (publisher) => publisher.lines.map(({ text }) => text)

test('a cluster that takes no idempotent producer gets an ordinary one, in order, said once', async () => {
  cluster.createTopic('t', { partitions: 1 })
  cluster.failRequests('InitProducerId', Array(20).fill('CLUSTER_AUTHORIZATION_FAILED'))
  const publisher = make()
  queueNumbers(publisher, 't', 0, 1000)
  await until(() => publisher.getStatistics().sentCnt === 1000)
  expect(await numbers('t')).toEqual(range(0, 1000))
  expect(publisher.getStatistics()).toMatchObject({
    state: 'publishing',
    fallback: { messages: 0 },
  })
  await publisher.end()
  const said = states(publisher).filter((text) =>
    text.startsWith('the cluster takes no idempotent producer')
  )
  expect(said).toHaveLength(1)
})

test('a producer that fails for good is replaced, and its messages arrive', async () => {
  cluster.createTopic('t', { partitions: 1 })
  const publisher = make()
  await publisher.init()
  queueNumbers(publisher, 't', 0, 100)
  await until(() => publisher.getStatistics().sentCnt === 100)
  // With the sequence that librdkafka expects, this answer is fatal to an idempotent producer.
  cluster.failRequests('Produce', ['OUT_OF_ORDER_SEQUENCE_NUMBER'])
  queueNumbers(publisher, 't', 100, 200)
  await until(() => publisher.getStatistics().sentCnt === 200)
  expect(await numbers('t')).toEqual(range(0, 200))
  expect(publisher.getStatistics()).toMatchObject({ state: 'publishing', unaccountedCnt: 0 })
  await publisher.end()
  expect(states(publisher).filter((text) => text.startsWith('librdkafka gave up'))).toHaveLength(1)
})

test("a topic's messages that its replicas do not take go to file, other topics flow on", async () => {
  cluster.createTopic('good', { partitions: 1 })
  cluster.createTopic('poor', { partitions: 1 })
  // One broker leads each, so that the injected errors meet the one topic only.
  cluster.setPartitionLeader('good', 0, 1)
  cluster.setPartitionLeader('poor', 0, 2)
  // So long that a busy machine delivers in time what can be delivered.
  const publisher = make({ retries: { attempts: 2, delay: { min: 1000, max: 1000 } } })
  await publisher.init()
  queueNumbers(publisher, 'good', 0, 10)
  await until(() => publisher.getStatistics().sentCnt === 10)
  cluster.setPartitionLeader('poor', 0, null)
  queueNumbers(publisher, 'poor', 0, 10)
  const flow = setInterval(() => publisher.queue('k', { i: 0 }, 'good'), 20)
  await until(() => publisher.getStatistics().fallback.messages === 10)
  clearInterval(flow)
  expect(publisher.getStatistics().state).toBe('publishing')
  expect(readFallback(publisher.directory).every(({ topic }) => topic === 'poor')).toBe(true)
  await until(() =>
    states(publisher).some((text) => text.startsWith('topic poor takes no messages'))
  )

  cluster.setPartitionLeader('poor', 0, 2)
  let sent = 10
  await until(() => {
    publisher.queue('k', { i: sent++ }, 'poor')
    return states(publisher).some((text) => text === 'topic poor takes messages again')
  })
})

test('with one broker of three hung, its messages are in file within 5 s, and the others flow', async () => {
  cluster.createTopic('t', { partitions: 3 })
  for (const partition of [0, 1, 2]) cluster.setPartitionLeader('t', partition, partition + 1)
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    fallback: { replay: false },
  })
  await publisher.init()
  for (let i = 0; i < 300; i++) publisher.queue(`k${i}`, { i })
  await until(() => publisher.getStatistics().sentCnt === 300)
  cluster.setLatency(60_000, 1)
  const watch = watchFiles(publisher)
  let i = 300
  const load = setInterval(() => {
    for (let k = 0; k < 10; k++) {
      watch.queued(i)
      publisher.queue(`k${i}`, { i: i++ })
    }
  }, 20)
  await until(() => watch.seenAt.size > 1000)
  clearInterval(load)
  watch.stop()
  expect(watch.waits().filter(({ took }) => took > 5000)).toEqual([])
  cluster.setLatency(0, 1)
  await publisher.end()
  const kept = new Set([
    ...(await numbers('t')),
    ...readFallback(publisher.directory).map(({ value }) => value.i),
  ])
  expect(range(0, i).filter((number) => !kept.has(number))).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({ unaccountedCnt: 0, discardedCnt: { total: 0 } })
})

test('all brokers down and up again: to file, and back, and from file to Kafka', async () => {
  cluster.createTopic('t', { partitions: 4 })
  const publisher = make({
    defaultTopic: 't',
    // So long that a busy machine delivers in time what can be delivered.
    retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
  })
  await publisher.init()
  queueNumbers(publisher, 't', 0, 100)
  await until(() => publisher.getStatistics().sentCnt === 100)
  cluster.brokerDown()
  queueNumbers(publisher, 't', 100, 200)
  await untilState(publisher, 'fallingBack')
  queueNumbers(publisher, 't', 200, 300)
  await until(() => publisher.getStatistics().fallback.messages === 200)
  expect(readFallback(publisher.directory).map(({ value }) => value.i)).toEqual(range(100, 300))
  cluster.brokerUp()
  await untilState(publisher, 'publishing')
  queueNumbers(publisher, 't', 300, 400)
  await until(() => publisher.getStatistics().sentCnt === 400)
  expect(new Set(await numbers('t'))).toEqual(new Set(range(0, 400)))
  await until(() => publisher.getStatistics().fallback.files === 0)
  expect(readFallback(publisher.directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    stateChangeCnt: 4,
    fallback: { messages: 0 },
    replay: { replayedCnt: 200 },
    unaccountedCnt: 0,
  })
})

test('without init() messages are published as well', async () => {
  cluster.createTopic('t', { partitions: 1 })
  const publisher = make({ defaultTopic: 't' })
  queueNumbers(publisher, 't', 0, 100)
  await until(() => publisher.getStatistics().sentCnt === 100)
  expect(await numbers('t')).toEqual(range(0, 100))
})

test('end() right after a failed delivery keeps the message', async () => {
  cluster.createTopic('t', { partitions: 1 })
  const publisher = make({ defaultTopic: 't' })
  queueNumbers(publisher, 't', 0, 1)
  await until(() => publisher.getStatistics().sentCnt === 1)
  // So long ago that the next failure is looked into before it is believed.
  const answered = Date.now()
  await until(() => Date.now() - answered > 1500)
  cluster.failRequests('Produce', Array(5).fill('UNKNOWN_SERVER_ERROR'))
  queueNumbers(publisher, 't', 1, 2)
  await publisher.end()
  const kept = [
    ...(await numbers('t')),
    ...readFallback(publisher.directory).map(({ value }) => value.i),
  ]
  expect([...new Set(kept)].sort()).toEqual([0, 1])
  expect(publisher.getStatistics()).toMatchObject({
    state: 'ended',
    curQueuedCnt: 0,
    unaccountedCnt: 0,
  })
})

test.each([0, 500])(
  'end() %i ms after the last broker is gone keeps what was in flight',
  async (ms) => {
    cluster.createTopic('t', { partitions: 1 })
    const publisher = make({ defaultTopic: 't', retries: { attempts: 1 } })
    queueNumbers(publisher, 't', 0, 1)
    await until(() => publisher.getStatistics().sentCnt === 1)
    cluster.setLatency(60_000)
    queueNumbers(publisher, 't', 1, 2)
    await until(() => publisher.getStatistics().inFlightCnt === 1)
    cluster.brokerDown()
    const gone = Date.now()
    await until(() => Date.now() - gone >= ms)
    await publisher.end()
    expect(publisher.getStatistics()).toMatchObject({
      curQueuedCnt: 0,
      fallback: { messages: 1 },
      unaccountedCnt: 0,
    })
  }
)

test("librdkafka's own queue limit, set by the user, slows down and loses nothing", async () => {
  cluster.createTopic('t', { partitions: 1 })
  const publisher = make({ defaultTopic: 't', producer: { 'queue.buffering.max.messages': 100 } })
  queueNumbers(publisher, 't', 0, 2000)
  await until(() => publisher.getStatistics().sentCnt === 2000)
  expect(await numbers('t')).toEqual(range(0, 2000))
})

test.each(['INVALID_RECORD', 'MESSAGE_TOO_LARGE'])(
  "a topic's trial that is answered with %s ends its trouble",
  async (answer) => {
    cluster.createTopic('t', { partitions: 1 })
    const publisher = make({ defaultTopic: 't' })
    queueNumbers(publisher, 't', 0, 10)
    await until(() => publisher.getStatistics().sentCnt === 10)
    cluster.failRequests('Produce', ['TOPIC_AUTHORIZATION_FAILED'])
    queueNumbers(publisher, 't', 10, 20)
    await until(() => publisher.getStatistics().fallback.messages >= 10)
    // Twice: as part of a batch, and alone.
    cluster.failRequests('Produce', [answer, answer])
    await until(() => {
      publisher.queue('k', { i: -1 })
      return publisher.getStatistics().sentCnt > 100
    })
    expect(publisher.getStatistics()).toMatchObject({ state: 'publishing', unaccountedCnt: 0 })
  }
)

test("'delivery.report.only.error' is ignored with a warning, and messages are counted", async () => {
  cluster.createTopic('t', { partitions: 1 })
  const publisher = make({ defaultTopic: 't', producer: { 'delivery.report.only.error': true } })
  queueNumbers(publisher, 't', 0, 10)
  await until(() => publisher.getStatistics().sentCnt === 10)
  await until(() => states(publisher).some((text) => text.includes('delivery.report.only.error')))
})
