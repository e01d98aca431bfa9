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
  untilSettled,
  untilState,
} = require('./support/publisher')
const { until } = require('./support/until')

const SOON = {
  // So long that a busy machine delivers in time what can be delivered.
  retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
  reconnectionDelay: { min: 50, max: 200 },
  retryOptions: { minTimeout: 100, maxTimeout: 300 },
}

let kafka
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())

/** The log lines about changes of state, without their details. */
function stateLines(publisher) {
  return publisher.lines
    .filter(({ text }) => /^(connected to Kafka|Kafka does not answer|Kafka answers)/.test(text))
    .map(({ level, text }) => `${level} ${text.split(/[;(]/)[0].trim()}`)
}

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
  let load
  let before
  let after

  const statistics = () => publisher.getStatistics()

  beforeAll(async () => {
    await kafka.createTopic(topic, { partitions: 3 })
    publisher = makePublisher({
      connectionString: kafka.bootstrap,
      defaultTopic: topic,
      // What is in the files is what is tested here.
      fallback: { replay: false },
      ...options,
    })
    load = startLoad(publisher)
    // More than the start, when all wait for the producer's id, has piled up.
    await until(() => statistics().sentCnt >= 4000, { what: '4000 messages in Kafka' })
    before = { count: load.count(), waiting: statistics().curQueuedCnt }
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
    const fileNumbers = new Set(inFile)
    expect(missingFrom(queued, inTopic, inFile)).toEqual([])
    expect(lines.filter((line) => line.topic !== topic)).toEqual([])
    expect(new Set(inTopic).size).toBe(inTopic.length)
    // What the broker took and had no time to acknowledge is in both.
    const inBoth = inTopic.filter((i) => fileNumbers.has(i)).length
    expect(seen.ended).toMatchObject({
      queueCnt: queued,
      sentCnt: inTopic.length - inBoth,
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
    const wrong = lines.filter(({ value, timestamp }) => {
      const [begin, end] = load.when(value.i)
      // What librdkafka hands back comes with how long it waited, not with when that began: a thread
      // that a busy machine holds up in between makes a difference. The wait itself is longer.
      return timestamp < begin - 1000 || timestamp > end + 1000
    })
    expect(wrong).toEqual([])
  })

  test('what was queued before the outage, or after it, is not in the file', () => {
    const inFile = numbersInFile(lines)
    const earlier = inFile.filter((i) => i < before.count)
    expect(earlier.length).toBeLessThanOrEqual(before.waiting)
    expect(inFile.at(-1)).toBeLessThan(after + 100)
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
    expect(stateLines(publisher)).toEqual([
      'INFO connected to Kafka',
      'WARN Kafka does not answer',
      'INFO Kafka answers again',
    ])
  })

  test('queue() does not block, whatever happens to Kafka', () => {
    // Far above what it takes on a busy machine, far below what any waiting would.
    expect(load.slowest()).toBeLessThan(1000)
  })

  test('the file is not touched any more once Kafka is back', () => {
    expect(contents()).toEqual(seen.firstFiles)
    expect(seen.firstFiles).toHaveLength(1)
  })
})

describe('a second outage, soon after the first', () => {
  let publisher
  let files
  let arrived

  beforeAll(async () => {
    await kafka.createTopic('twice')
    publisher = makePublisher({
      connectionString: kafka.bootstrap,
      defaultTopic: 'twice',
      ...SOON,
      // The broker is back some time before it gives a producer its id.
      retries: undefined,
      fallback: { replay: false },
    })
    await publisher.init()
    const outage = async (message) => {
      await kafka.kill()
      publisher.queue('key', message)
      await untilState(publisher, 'fallingBack')
      await untilSettled(publisher)
      await kafka.restart()
      await untilState(publisher, 'publishing')
    }
    await outage({ outage: 1 })
    publisher.queue('key', { between: true })
    await untilSettled(publisher)
    await outage({ outage: 2 })
    await publisher.end()
    files = fallbackFiles(publisher.directory).map((file) => fs.readFileSync(file, 'utf8'))
    arrived = await readTopic(kafka.bootstrap, 'twice')
  })
  afterAll(endPublishers)

  test('makes a second file, and what was queued in between is in Kafka', () => {
    expect(files.map((text) => JSON.parse(text).value)).toEqual([{ outage: 1 }, { outage: 2 }])
    expect(arrived.map(({ value }) => value.toString())).toEqual(['{"between":true}'])
    expect(publisher.getStatistics()).toMatchObject({ stateChangeCnt: 7, unaccountedCnt: 0 })
  })

  test('is logged like the first', () => {
    expect(stateLines(publisher)).toEqual([
      'INFO connected to Kafka',
      'WARN Kafka does not answer',
      'INFO Kafka answers again',
      'WARN Kafka does not answer',
      'INFO Kafka answers again',
    ])
  })
})
