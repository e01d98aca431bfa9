const { Partitioners } = require('kafkajs')
const { readTopic } = require('./support/consume')
const { PATIENT, endPublishers, makePublisher, readFallback } = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const PARTITIONS = 4
const COUNT = 2000

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

function publisherFor(defaultTopic, partitioner) {
  return makePublisher({ connectionString: kafka.bootstrap, defaultTopic, partitioner, ...PATIENT })
}

/** As no-kafka's own are written: a class, with a state of its own. */
class Recorder {
  calls = []

  constructor(choose) {
    this.choose = choose
  }

  partition(topicName, partitions, message) {
    this.calls.push({ topicName, partitions, message })
    return this.choose(JSON.parse(message.value).i)
  }
}

// Neither Kafka's own choice nor round-robin.
const chosen = (i) => (i * i + Math.floor(i / 7)) % PARTITIONS

function queueAll(publisher) {
  for (let i = 0; i < COUNT; i++) publisher.queue(`key ${i % 10}`, { i })
}

async function read(topic) {
  return (await readTopic(kafka.bootstrap, topic)).map(({ partition, key, value }) => ({
    partition,
    key,
    i: JSON.parse(value).i,
  }))
}

/** What is expected of the topic: each message where `partitionOf` says, in the order queued. */
function inTheirPartitions(partitionOf) {
  const all = Array.from({ length: COUNT }, (_, i) => ({ partition: partitionOf(i), i }))
  return all.sort((a, b) => a.partition - b.partition || a.i - b.i)
}

const withoutKey = ({ partition, i }) => ({ partition, i })

function defaultPartition(topic, key) {
  const partitionMetadata = Array.from({ length: PARTITIONS }, (_, partitionId) => ({
    partitionId,
    leader: 1,
  }))
  return Partitioners.DefaultPartitioner()({ topic, partitionMetadata, message: { key } })
}

test('each message goes to the partition that the partitioner chooses, in order', async () => {
  await kafka.createTopic('sync', { partitions: PARTITIONS })
  const publisher = publisherFor('sync', new Recorder(chosen))
  queueAll(publisher)
  await publisher.end()
  expect((await read('sync')).map(withoutKey)).toEqual(inTheirPartitions(chosen))
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: COUNT })
})

test('the partitioner may answer with promises, later ones first: order is kept', async () => {
  await kafka.createTopic('promised', { partitions: PARTITIONS })
  const answers = []
  const partitioner = new Recorder((i) => {
    if (i % 3 === 0) return chosen(i)
    if (answers.length === 0) {
      setImmediate(() => {
        for (const answer of answers.splice(0).reverse()) answer()
      })
    }
    return new Promise((resolve) => {
      answers.push(() => resolve(chosen(i)))
    })
  })
  const publisher = publisherFor('promised', partitioner)
  queueAll(publisher)
  await publisher.end()
  expect((await read('promised')).map(withoutKey)).toEqual(inTheirPartitions(chosen))
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: COUNT })
})

test("the partitioner is called once a message, in their order, with no-kafka's arguments", async () => {
  await kafka.createTopic('arguments', { partitions: 12 })
  await kafka.createTopic('arguments2', { partitions: 1 })
  const partitioner = new Recorder(() => 0)
  const publisher = publisherFor('arguments', partitioner)
  const queued = [
    ['text "quoted"', { i: 0, text: 'é\u2028', when: new Date(0) }],
    [5, { i: 1 }],
    [{ object: [1] }, { i: 2, nested: {} }],
    ['elsewhere', { i: 3 }, 'arguments2'],
    ['back', { i: 4 }],
  ]
  for (const message of queued) publisher.queue(...message)
  await publisher.end()

  const partitions = Array.from({ length: 12 }, (_, partitionId) => ({
    error: null,
    partitionId,
    leader: 1,
    replicas: [1],
    isr: [1],
  }))
  expect(partitioner.calls).toEqual(
    queued.map(([key, value, topicName = 'arguments']) => ({
      topicName,
      partitions: topicName === 'arguments' ? partitions : partitions.slice(0, 1),
      message: { key: JSON.stringify(key), value: JSON.stringify(value) },
    }))
  )
})

describe.each([
  [
    'throws',
    () => {
      throw new Error('no idea')
    },
    'no idea',
  ],
  ['rejects', () => Promise.reject(new Error('still no idea')), 'still no idea'],
  ['returns NaN', () => Number.NaN, 'NaN'],
  ['returns undefined', () => undefined, 'undefined'],
  ['returns a partition that there is not', () => PARTITIONS, String(PARTITIONS)],
  ['returns a negative number', () => -1, '-1'],
])('a partitioner that %s', (name, fail, text) => {
  const fails = (i) => i % 50 === 49

  test('leaves that message to the default partitioner; it is logged once and counted', async () => {
    const topic = name.replaceAll(' ', '-')
    await kafka.createTopic(topic, { partitions: PARTITIONS })
    const publisher = publisherFor(topic, new Recorder((i) => (fails(i) ? fail() : chosen(i))))
    queueAll(publisher)
    await publisher.end()

    const arrived = await read(topic)
    const wrong = arrived.filter(
      ({ i, key, partition }) => partition !== (fails(i) ? defaultPartition(topic, key) : chosen(i))
    )
    expect(wrong).toEqual([])
    expect(new Set(arrived.map(({ i }) => i)).size).toBe(COUNT)
    expect(arrived).toHaveLength(COUNT)

    const errors = publisher.lines.filter(({ level }) => level === 'ERROR')
    // At the end the log says how many were like it.
    expect(errors.filter(({ text }) => !text.includes('not shown'))).toHaveLength(1)
    expect(errors[0].text).toContain('partitioner')
    expect(errors[0].text).toContain(text)
    const statistics = publisher.getStatistics()
    expect(statistics).toMatchObject({ sentCnt: COUNT, discardedCnt: { total: 0 } })
    expect(statistics.errorCnt).toBeGreaterThan(0)
    expect(readFallback(publisher.directory)).toEqual([])
  })
})

test('a partitioner that never answers: its messages go to file', async () => {
  await kafka.createTopic('silent', { partitions: PARTITIONS })
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'silent',
    partitioner: { partition: () => new Promise(() => {}) },
    retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
  })
  await publisher.init()
  for (let i = 0; i < 100; i++) publisher.queue('key', { i })
  await until(() => publisher.getStatistics().fallback.messages === 100, {
    what: 'all messages in the file',
  })
  expect(readFallback(publisher.directory).map(({ value }) => value.i)).toEqual([
    ...Array(100).keys(),
  ])
  expect(publisher.getStatistics()).toMatchObject({ state: 'publishing', unaccountedCnt: 0 })
})

test('where messages wait for ever, a partitioner that never answers is given up all the same', async () => {
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'never-answered',
    partitioner: { partition: () => new Promise(() => {}) },
    producer: { 'message.timeout.ms': 0 },
    fallback: { replay: false },
  })
  await kafka.createTopic('never-answered', { partitions: PARTITIONS })
  for (let i = 0; i < 50; i++) publisher.queue('key', { i })
  await until(() => publisher.queued() === 0, { what: 'an empty memory' })
  await publisher.end()
  expect(readFallback(publisher.directory)).toHaveLength(50)
})

test('a topic that is made later gets its messages from the partitioner, too', async () => {
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'later',
    partitioner: { partition: (_topic, partitions) => partitions.length - 1 },
    retries: { attempts: 3, delay: { min: 100, max: 300 } },
    retryOptions: { minTimeout: 100, maxTimeout: 200 },
  })
  publisher.queue('missing', {})
  await until(() => publisher.getStatistics().fallback.messages === 1, {
    what: 'the first message in the file',
  })
  await kafka.createTopic('later', { partitions: PARTITIONS })
  let sent = 0
  await until(
    () => {
      publisher.queue(`key ${sent++}`, {})
      return publisher.getStatistics().sentCnt >= 20
    },
    { what: '20 messages in Kafka' }
  )
  await publisher.end()
  const arrived = await readTopic(kafka.bootstrap, 'later')
  expect(arrived.length).toBeGreaterThanOrEqual(20)
  expect([...new Set(arrived.map(({ partition }) => partition))]).toEqual([PARTITIONS - 1])
})
