// What one partition suffers is its own, and slow is not dead. On the embedded cluster.

const { MockCluster } = require('../testing')
const { endPublishers, makePublisher, readFallback } = require('./support/publisher')
const { until } = require('./support/until')

let cluster
let load
afterEach(async () => {
  clearInterval(load)
  await endPublishers()
  cluster.close()
})

const numbersOf = (messages) => messages.map(({ value }) => JSON.parse(value).i)

/** Queues so many messages a second, with a key for each partition to have its share. */
function startLoad(publisher, perSecond) {
  const begin = Date.now()
  let count = 0
  load = setInterval(() => {
    const due = ((Date.now() - begin) * perSecond) / 1000
    for (; count < due; count++) publisher.queue(`key ${count % 997}`, { i: count })
  }, 10)
  return { count: () => count, stop: () => clearInterval(load) }
}

test('a partition without a leader: its messages go to file, those of the others flow on', async () => {
  cluster = new MockCluster({ brokers: 2 })
  cluster.createTopic('t', { partitions: 4 })
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    fallback: { replay: false },
  })
  const statistics = () => publisher.getStatistics()
  await publisher.init()
  const { count, stop } = startLoad(publisher, 2000)
  await until(() => statistics().sentCnt >= 2000)
  cluster.setPartitionLeader('t', 2, null)
  // For long enough that trials are made, and fail.
  await until(() => statistics().fallback.messages >= 5000, { timeoutMs: 60_000 })
  stop()
  await until(() => statistics().curQueuedCnt === 0)
  const inFile = readFallback(publisher.directory).map(({ value }) => value.i)
  cluster.setPartitionLeader('t', 2, 1)
  const inTopic = await cluster.readTopic('t')
  const keysOf = (messages) => new Set(messages.map(({ key }) => String(key)))
  const healthy = keysOf(inTopic.filter(({ partition }) => partition !== 2))
  const strays = inFile.filter((i) => healthy.has(`"key ${i % 997}"`))
  expect(strays).toEqual([])
  expect([...new Set([...numbersOf(inTopic), ...inFile])]).toHaveLength(count())
  expect(publisher.lines.filter(({ text }) => text.includes('in partition 2'))).toHaveLength(1)
  expect(statistics()).toMatchObject({ state: 'publishing', stateChangeCnt: 2, unaccountedCnt: 0 })
}, 90_000)

test('200 ms on the way and 100 partitions: nearly nothing goes to file, nothing twice', async () => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('far', { partitions: 100, replicationFactor: 1 })
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 'far',
    fallback: { replay: false },
  })
  const statistics = () => publisher.getStatistics()
  await publisher.init()
  cluster.setLatency(200)
  const { count, stop } = startLoad(publisher, 1000)
  await until(() => count() >= 12_000, { timeoutMs: 60_000 })
  stop()
  cluster.setLatency(0)
  await until(() => statistics().curQueuedCnt === 0, { timeoutMs: 30_000 })
  expect(statistics().fallback.messages).toBeLessThan(count() * 0.02)
  const numbers = numbersOf(await cluster.readTopic('far'))
  expect(numbers).toHaveLength(new Set(numbers).size)
  expect(numbers.length + statistics().fallback.messages).toBe(count())
  expect(publisher.lines.filter(({ text }) => /takes no messages/.test(text))).toEqual([])
}, 120_000)

test('the first acknowledgement does not wait for half of reconnectionDelay', async () => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('first', { partitions: 1 })
  const times = []
  for (let n = 1; n <= 5; n++) {
    const begin = performance.now()
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: 'first',
      reconnectionDelay: { min: 2000, max: 2000 },
    })
    publisher.queue('key', { n })
    await until(() => publisher.getStatistics().sentCnt === 1)
    times.push(performance.now() - begin)
  }
  expect(Math.min(...times)).toBeLessThan(900)
})

test('a message that the broker refuses without a reason is not replayed for ever', async () => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('odd', { partitions: 1 })
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 'odd',
    retryOptions: { minTimeout: 50, maxTimeout: 100 },
  })
  await publisher.init()
  cluster.failRequests('Produce', Array(100).fill('UNKNOWN_SERVER_ERROR'))
  publisher.queue('key', { i: 0 })
  await until(() => publisher.getStatistics().replay.rejectedCnt === 1, { timeoutMs: 30_000 })
  expect(publisher.getStatistics()).toMatchObject({ state: 'publishing', unaccountedCnt: 0 })
})

test('messages that wait for a leader without a limit hold no other topic up', async () => {
  cluster = new MockCluster({ brokers: 1 })
  for (const topic of ['leaderless', 'picky', 'well']) cluster.createTopic(topic, { partitions: 1 })
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    producer: { 'message.timeout.ms': 0 },
    fallback: { replay: false },
  })
  const statistics = () => publisher.getStatistics()
  const queue = (topic, count) => {
    for (let i = 0; i < count; i++) publisher.queue('key', { i }, topic)
  }
  await publisher.init()
  cluster.setPartitionLeader('leaderless', 0, null)
  queue('leaderless', 10)
  // A batch that is refused as a whole goes message by message, in a client of its own.
  cluster.failRequests('Produce', ['INVALID_RECORD'])
  queue('picky', 10)
  await until(() => statistics().sentCnt === 10, { what: 'the refused batch, one by one' })
  cluster.failRequests('Produce', ['MESSAGE_TOO_LARGE'])
  queue('picky', 10)
  await until(() => statistics().sentCnt === 20, { what: 'the batch that was too large' })
  queue('well', 10)
  await until(() => statistics().sentCnt === 30, { what: 'another topic' })
  cluster.setPartitionLeader('leaderless', 0, 1)
  await until(() => statistics().curQueuedCnt === 0, { what: 'the first ones' })
  expect(numbersOf(await cluster.readTopic('picky'))).toHaveLength(20)
  expect(statistics()).toMatchObject({
    state: 'publishing',
    discardedCnt: { total: 0 },
    unaccountedCnt: 0,
  })
})
