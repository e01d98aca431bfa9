const fs = require('node:fs')
const { readTopic } = require('./support/consume')
const { Kafka } = require('./support/kafka')
const {
  missingFrom,
  numbersInFile,
  numbersInTopic,
  startLoad,
  unordered,
} = require('./support/load')
const {
  endPublishers,
  fallbackFiles,
  makePublisher,
  readFallback,
  untilState,
} = require('./support/publisher')
const { until } = require('./support/until')

const SOON = {
  retries: { attempts: 3, delay: { min: 100, max: 300 } },
  reconnectionDelay: { min: 50, max: 200 },
  retryOptions: { minTimeout: 100, maxTimeout: 300 },
}

let kafka
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())

/** Under load: Kafka is up, is killed, is away for a while, and comes back. */
describe.each([
  ['the default options', {}],
  ['a short retry window and requiredAcks 1', { ...SOON, requiredAcks: 1 }],
])('the broker is killed in mid-load and started again, with %s', (name, options) => {
  const topic = name.replaceAll(' ', '-')
  const seen = {}
  let publisher
  let messages
  let lines
  let queued
  let slowest
  let before
  let after

  const statistics = () => publisher.getStatistics()

  beforeAll(async () => {
    await kafka.createTopic(topic, { partitions: 3 })
    publisher = makePublisher({
      connectionString: kafka.bootstrap,
      defaultTopic: topic,
      ...options,
    })
    const load = startLoad(publisher)
    await until(() => statistics().sentCnt >= 1000, { what: '1000 messages in Kafka' })
    before = load.count()
    await kafka.kill()
    await untilState(publisher, 'fallingBack')
    await until(() => statistics().fallback.messages >= 2000, { what: '2000 messages in the file' })
    seen.fallingBack = statistics()
    await kafka.restart()
    await untilState(publisher, 'publishing')
    after = load.count()
    seen.recovered = statistics()
    seen.firstFiles = contents()
    await until(() => statistics().sentCnt >= seen.recovered.sentCnt + 1000, {
      what: '1000 more messages in Kafka',
    })
    load.stop()
    queued = load.count()
    slowest = load.slowest()
    await publisher.end()
    seen.ended = statistics()
    messages = await readTopic(kafka.bootstrap, topic)
    lines = readFallback(publisher.directory)
  })
  afterAll(endPublishers)

  const contents = () =>
    fallbackFiles(publisher.directory).map((file) => [file, fs.readFileSync(file, 'utf8')])

  test('every message is in Kafka or in a file, and nothing else is in either', () => {
    const inTopic = numbersInTopic(messages)
    const inFile = numbersInFile(lines)
    expect(missingFrom(queued, inTopic, inFile)).toEqual([])
    expect(new Set(inTopic).size).toBe(inTopic.length)
    expect(seen.ended).toMatchObject({
      queueCnt: queued,
      sentCnt: inTopic.length,
      curQueuedCnt: 0,
      discardedCnt: { total: 0 },
      filePublisher: { mesgCnt: inFile.length },
      fallback: { files: 1, messages: inFile.length },
      unaccountedCnt: 0,
    })
  })

  test('the file has the messages in the order in which they were queued, each once', () => {
    expect(unordered(numbersInFile(lines))).toEqual([])
  })

  test('Kafka has the messages in order, before and after', () => {
    for (const wanted of [0, 1, 2]) {
      const inPartition = messages.filter(({ partition }) => partition === wanted)
      expect(unordered(numbersInTopic(inPartition))).toEqual([])
    }
  })

  test('each line has the time at which its message was queued', () => {
    const times = lines.map(({ timestamp }) => timestamp)
    expect(lines.filter((line) => line.topic !== topic)).toEqual([])
    expect(times.filter((time, at) => at > 0 && time < times[at - 1])).toEqual([])
  })

  test('what was queued before the outage, or after it, is not in the file', () => {
    const inFile = numbersInFile(lines)
    // What was on its way when the broker was killed may be in both.
    expect(inFile[0]).toBeGreaterThan(before - 1000)
    expect(inFile.at(-1)).toBeLessThan(after + 100)
    expect(missingFrom(queued, inFile, numbersInTopic(messages))).toEqual([])
  })

  test('each change of state is seen in the statistics and logged once', () => {
    expect(seen.fallingBack).toMatchObject({
      state: 'fallingBack',
      kafkaReady: false,
      backgroundRetrying: true,
      stateChangeCnt: 3,
    })
    expect(seen.recovered).toMatchObject({
      state: 'publishing',
      kafkaReady: true,
      backgroundRetrying: false,
      stateChangeCnt: 4,
    })
    expect(seen.recovered.backgroundRetries).toBeGreaterThan(0)
    expect(seen.recovered.errorCnt).toBeGreaterThan(0)
    const told = publisher.lines
      .filter(({ text }) => /^(connected to Kafka|Kafka does not answer|Kafka answers)/.test(text))
      .map(({ level, text }) => `${level} ${text.split(/[;(]/)[0].trim()}`)
    expect(told).toEqual([
      'INFO connected to Kafka',
      'WARN Kafka does not answer',
      'INFO Kafka answers again',
    ])
  })

  test('queue() does not block, whatever happens to Kafka', () => {
    // Far above what it takes, far below what any waiting would.
    expect(slowest).toBeLessThan(50)
  })

  test('the file is not touched any more once Kafka is back', () => {
    expect(contents()).toEqual(seen.firstFiles)
    expect(seen.firstFiles).toHaveLength(1)
  })
})

test('a second outage makes a second file', async () => {
  await kafka.createTopic('twice')
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'twice',
    ...SOON,
  })
  try {
    await publisher.init()
    const outage = async (message) => {
      await kafka.kill()
      publisher.queue('key', message)
      await untilState(publisher, 'fallingBack')
      await until(() => publisher.queued() === 0, { what: 'the message in the file' })
      await kafka.restart()
      await untilState(publisher, 'publishing')
    }
    await outage({ outage: 1 })
    publisher.queue('key', { between: true })
    await until(() => publisher.getStatistics().sentCnt === 1, { what: 'the message in Kafka' })
    await outage({ outage: 2 })
    await publisher.end()
    const files = fallbackFiles(publisher.directory)
    const values = files.map((file) => JSON.parse(fs.readFileSync(file, 'utf8')).value)
    expect(values).toEqual([{ outage: 1 }, { outage: 2 }])
    const arrived = await readTopic(kafka.bootstrap, 'twice')
    expect(arrived.map(({ value }) => value.toString())).toEqual(['{"between":true}'])
    expect(publisher.getStatistics()).toMatchObject({ stateChangeCnt: 7, unaccountedCnt: 0 })
  } finally {
    await endPublishers()
  }
})
