const { readTopic } = require('./support/consume')
const {
  PATIENT,
  endPublishers,
  makePublisher,
  readFallback,
  untilSettled,
} = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')

const MiB = 1024 * 1024

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

const publisherFor = (defaultTopic, options) =>
  makePublisher({ connectionString: kafka.bootstrap, defaultTopic, ...PATIENT, ...options })

const errorsOf = (publisher) => publisher.lines.filter(({ level }) => level === 'ERROR')

async function read(topic) {
  return (await readTopic(kafka.bootstrap, topic)).map(({ value }) => value.toString())
}

test("a 2 MB message arrives in a topic whose own limit is above Kafka's default", async () => {
  await kafka.createTopic('roomy', { config: { 'max.message.bytes': 4 * MiB } })
  const publisher = publisherFor('roomy')
  const message = { text: 'x'.repeat(2 * MiB) }
  publisher.queue('large', message)
  await publisher.end()
  const arrived = await read('roomy')
  expect(arrived).toHaveLength(1)
  expect(arrived[0] === JSON.stringify(message)).toBe(true)
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: 1, discardedCnt: { total: 0 } })
})

test('a 2 MB message to a topic with the default limit is discarded, logged and counted', async () => {
  await kafka.createTopic('default-limit')
  const publisher = publisherFor('default-limit')
  publisher.queue('before', { n: 1 })
  publisher.queue('large', { text: 'x'.repeat(2 * MiB) })
  publisher.queue('after', { n: 2 })
  await untilSettled(publisher)
  // To connecting and to publishing: it was never away from there.
  expect(publisher.getStatistics()).toMatchObject({ kafkaReady: true, stateChangeCnt: 2 })
  await publisher.end()
  expect(await read('default-limit')).toEqual(['{"n":1}', '{"n":2}'])
  expect(publisher.getStatistics()).toMatchObject({
    queueCnt: 3,
    sentCnt: 2,
    discardedCnt: { tooLarge: 1, total: 1 },
    unaccountedCnt: 0,
  })
  expect(readFallback(publisher.directory)).toEqual([])
  const errors = errorsOf(publisher)
  expect(errors).toHaveLength(1)
  expect(errors[0].text).toMatch(/too large/i)
  expect(errors[0].text).toContain('default-limit')
})

test('the limit is that of the message as it is sent: compressed, 2 MB may be small', async () => {
  await kafka.createTopic('compressed')
  const publisher = publisherFor('compressed', { codec: 'gzip' })
  const message = { text: 'x'.repeat(2 * MiB) }
  publisher.queue('large', message)
  await publisher.end()
  expect((await read('compressed')).map((text) => text === JSON.stringify(message))).toEqual([true])
})

describe.each([
  ['requiredAcks -1, batches of 1,000,000 bytes', { requiredAcks: -1, batch: { size: 1_000_000 } }],
  ['requiredAcks 1, batches of 1,000,000 bytes', { requiredAcks: 1, batch: { size: 1_000_000 } }],
  ['the default options', {}],
])('to a topic that takes 1000 bytes, with %s', (name, options) => {
  const SMALL = 800
  const EVERY = 37 // before each 37th small message comes a large one
  const LARGE = Math.ceil(SMALL / EVERY)
  const topic = name.replace(/[^\w-]+/g, '_')
  let publisher
  let arrived

  beforeAll(async () => {
    await kafka.createTopic(topic, { partitions: 2, config: { 'max.message.bytes': 1000 } })
    publisher = publisherFor(topic, options)
    for (let i = 0; i < SMALL; i++) {
      if (i % EVERY === 0) publisher.queue(`key ${i % 5}`, { large: i, text: 'x'.repeat(1500) })
      publisher.queue(`key ${i % 5}`, { i, text: 'y'.repeat(50) })
    }
    await publisher.end()
    arrived = (await readTopic(kafka.bootstrap, topic)).map(({ key, value }) => ({
      key: key.toString(),
      ...JSON.parse(value),
    }))
  })

  test('all small messages arrive, once, and no large one', () => {
    const numbers = arrived.map(({ i }) => i)
    const missing = [...Array(SMALL).keys()].filter((i) => !numbers.includes(i))
    expect(missing).toEqual([])
    expect(numbers).toHaveLength(SMALL)
  })

  test('small messages of one key arrive in order', () => {
    const last = {}
    const late = arrived.filter(({ key, i }) => {
      const isLate = last[key] > i
      last[key] = i
      return isLate
    })
    expect(late.map(({ key, i }) => ({ key, i }))).toEqual([])
  })

  test('only the large ones are discarded, each counted, none in a file', () => {
    expect(publisher.getStatistics()).toMatchObject({
      queueCnt: SMALL + LARGE,
      sentCnt: SMALL,
      discardedCnt: { tooLarge: LARGE, total: LARGE },
      fallback: { messages: 0 },
      stateChangeCnt: 3, // connecting, publishing, ended
      unaccountedCnt: 0,
    })
    expect(readFallback(publisher.directory)).toEqual([])
    expect(errorsOf(publisher).length).toBeGreaterThan(0)
  })
})
