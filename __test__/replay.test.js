// What went to file comes to Kafka by itself, as if Kafka had never been away.

const fs = require('node:fs')
const { readTopic, topicEnd } = require('./support/consume')
const { Kafka } = require('./support/kafka')
const { missingFrom, numbersInTopic, startLoad, unordered } = require('./support/load')
const {
  endPublishers,
  makeDirectory,
  makePublisher,
  readFallback,
  untilState,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  lineOf,
  numberedLines,
  sampleStatistics,
  untilReplayed,
} = require('./support/replay')
const { until } = require('./support/until')

let kafka
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())

const make = (defaultTopic, { fallback, ...options } = {}) =>
  makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic,
    ...SOON,
    ...options,
    fallback: { ...fallback },
  })
const numbersOf = (messages) => messages.map(({ value }) => JSON.parse(value).i)
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

describe('after an outage, under load', () => {
  const PER_SECOND = 2000
  let publisher
  let load
  let unconfirmed
  let sampledBefore
  let fallenBack
  let restarted
  let lines
  let violations
  let samples
  let messages
  let end
  let left

  const statistics = () => publisher.getStatistics()

  beforeAll(async () => {
    await kafka.createTopic('outage', { partitions: 3 })
    publisher = make('outage', {
      fallback: { segmentBytes: 30_000, replay: { maxMessagesPerSecond: PER_SECOND } },
    })
    const sampling = sampleStatistics(publisher)
    load = startLoad(publisher, { perTick: 10 })
    await until(() => statistics().sentCnt >= 2000, { what: '2000 messages in Kafka' })
    unconfirmed = statistics().curQueuedCnt + statistics().filePublisher.mesgCnt
    await kafka.kill()
    await untilState(publisher, 'fallingBack')
    sampledBefore = sampling.all.length
    fallenBack = load.count()
    await until(() => statistics().fallback.messages >= 3000, { what: '3000 messages in files' })
    // What is in files now is in none that comes later.
    lines = readFallback(publisher.directory)
    restarted = load.count()
    await kafka.restart()
    await until(() => statistics().replay.state === 'replaying')
    await until(() => statistics().replay.replayedCnt > lines.length)
    load.stop()
    await untilReplayed(publisher)
    await publisher.end()
    violations = sampling.stop()
    samples = sampling.all
    messages = await readTopic(kafka.bootstrap, 'outage')
    end = await topicEnd(kafka.bootstrap, 'outage')
    left = fs.readdirSync(publisher.directory)
  })
  afterAll(endPublishers)

  test('everything has arrived, with the key and the value that it was queued with', () => {
    const numbers = numbersInTopic(messages)
    expect(missingFrom(load.count(), numbers)).toEqual([])
    expect(lines.length).toBeGreaterThanOrEqual(3000)
  })

  test('nothing else has: no probe, and twice only what the broker had and could not confirm', () => {
    const seen = new Set()
    const twice = numbersInTopic(messages).filter((i) => seen.has(i) || !seen.add(i))
    // Those after the outage may be in doubt, too: on a busy machine, while the broker starts.
    expect(twice.filter((i) => i > fallenBack && i < restarted)).toEqual([])
    expect(twice.filter((i) => i <= fallenBack).length).toBeLessThanOrEqual(unconfirmed)
    expect(end).toBe(messages.length)
    expect(messages.filter(({ headers }) => Object.keys(headers).length > 0)).toEqual([])
  })

  test("a record's timestamp is the time at which its message was queued, as the file has it", () => {
    const queuedAt = new Map(lines.map(({ value, timestamp }) => [value.i, timestamp]))
    const wrong = messages
      .map(({ value, timestamp }) => ({ i: JSON.parse(value).i, timestamp }))
      .filter(({ i }) => i > fallenBack && queuedAt.has(i))
      .map(({ i, timestamp }) => ({ i, timestamp, inFile: queuedAt.get(i), when: load.when(i) }))
      .filter(({ timestamp, inFile, when: [begin, end] }) => {
        return timestamp !== inFile || timestamp < begin - 2 || timestamp > end + 2
      })
    expect(wrong).toEqual([])
  })

  test('what was in files has arrived in the order of the files', () => {
    const inFile = new Set(lines.map(({ value }) => value.i).filter((i) => i > fallenBack))
    for (const wanted of [0, 1, 2]) {
      const inPartition = messages.filter(({ partition }) => partition === wanted)
      const replayed = numbersInTopic(inPartition).filter((i) => inFile.has(i))
      expect(replayed.length).toBeGreaterThan(0)
      expect(unordered(replayed)).toEqual([])
    }
  })

  test('the counts add up at every moment', () => {
    expect(samples.length).toBeGreaterThan(100)
    expect(violations.slice(0, 3)).toEqual([])
  })

  test('the replay is seen in the statistics', () => {
    const states = samples.slice(sampledBefore).map(({ replay }) => replay.state)
    const changes = states.filter((state, i) => state !== states[i - 1])
    // There is no file at the moment at which Kafka is given up.
    if (changes[0] === 'idle') changes.shift()
    expect(changes.slice(0, 2)).toEqual(['waiting', 'replaying'])
    const during = samples.map(({ replay }) => replay).filter(({ state }) => state === 'replaying')
    const names = during.map(({ file }) => file).filter(Boolean)
    expect(new Set(names).size).toBeGreaterThan(3)
    expect(names.filter((name) => !/^fallback-[0-9a-f-]{36}-\d{6}\.log$/.test(name))).toEqual([])
    const oldest = during.map(({ oldestTs }) => Date.parse(oldestTs)).filter(Number.isFinite)
    expect(oldest.length).toBeGreaterThan(0)
    expect(unordered([0, ...new Set(oldest)])).toEqual([])
    expect(during.some(({ timeLeftMs }) => timeLeftMs > 0 && timeLeftMs < 60_000)).toBe(true)
    expect(during.some(({ inFlightCnt }) => inFlightCnt > 0)).toBe(true)

    const { replay, ...all } = statistics()
    expect(all).toMatchObject({
      state: 'ended',
      queueCnt: load.count(),
      sentCnt: load.count(),
      curQueuedCnt: 0,
      recoveredCnt: 0,
      discardedCnt: { total: 0 },
      fallback: { files: 0, messages: 0, bytes: 0 },
      unaccountedCnt: 0,
    })
    expect(replay).toMatchObject({
      state: 'idle',
      files: 0,
      bytes: 0,
      messages: 0,
      rejectedCnt: 0,
      inFlightCnt: 0,
    })
    expect(replay.replayedCnt).toBe(all.filePublisher.mesgCnt)
    expect(replay).not.toHaveProperty('file')
    expect(replay).not.toHaveProperty('timeLeftMs')
  })

  test('live messages go on meanwhile', () => {
    const during = samples.filter(({ replay }) => replay.state === 'replaying')
    const live = ({ sentCnt, replay }) => sentCnt - replay.replayedCnt
    expect(live(during.at(-1)) - live(during[0])).toBeGreaterThan(300)
    expect(load.slowest()).toBeLessThan(1000)
  })

  test('nothing is left on disk', () => {
    expect(left).toEqual([])
  })
})

describe('at the start', () => {
  afterEach(endPublishers)

  test.each([
    ['with init() only', (publisher) => publisher.init()],
    ['with neither init() nor queue()', () => {}],
  ])('%s: what earlier processes left is published, oldest file first', async (name, start) => {
    const topic = name.replace(/[^\w]+/g, '-')
    await kafka.createTopic(topic)
    const directory = makeDirectory()
    const [one, two, three] = [1, 2, 3].map((n) => `0000000${n}-aaaa-4aaa-8aaa-aaaaaaaaaaaa`)
    const now = Date.now()
    const leave = (instance, sequence, from, to, age) =>
      leaveFile(directory, numberedLines(from, to, { topic, timestamp: now - age }), {
        instance,
        sequence,
      })
    // By age, but an instance's files in its own order: its clock was set back by an hour.
    leave(two, 1, 200, 300, 1_000_000)
    leave(one, 7, 300, 400, 900_000)
    leave(three, 2, 0, 100, 2_000_000)
    leave(three, 3, 100, 200, 2_000_000 + 3_600_000)
    const publisher = make(topic, { fallback: { directory } })
    const samples = sampleStatistics(publisher)
    await start(publisher)
    await untilReplayed(publisher)
    const messages = await readTopic(kafka.bootstrap, topic)
    expect(numbersOf(messages)).toEqual(range(0, 400))
    expect(new Set(messages.map(({ key }) => key.toString()))).toEqual(new Set(['"k"']))
    const ages = messages.map(({ timestamp }) => now - timestamp)
    expect([ages[0], ages[100], ages[399]]).toEqual([2_000_000, 5_600_000, 900_000])
    expect(samples.stop()).toEqual([])
    await publisher.end()
    expect(publisher.getStatistics()).toMatchObject({
      queueCnt: 0,
      recoveredCnt: 400,
      sentCnt: 400,
      replay: { replayedCnt: 400, rejectedCnt: 0 },
      unaccountedCnt: 0,
    })
    expect(fs.readdirSync(directory)).toEqual([])
  })

  test('what an ended publisher left is taken over by one that runs already', async () => {
    await kafka.createTopic('running')
    const directory = makeDirectory()
    const running = make('running', { fallback: { directory } })
    await running.init()
    const away = make('running', { connectionString: '127.0.0.1:1', fallback: { directory } })
    for (let i = 0; i < 50; i++) away.queue('k', { i })
    await until(() => away.getStatistics().fallback.messages === 50)
    expect(running.getStatistics().recoveredCnt).toBe(0)
    await away.end()
    await untilReplayed(running)
    expect(numbersOf(await readTopic(kafka.bootstrap, 'running'))).toEqual(range(0, 50))
    expect(running.getStatistics()).toMatchObject({
      recoveredCnt: 50,
      sentCnt: 50,
      unaccountedCnt: 0,
    })
  })

  test('a partitioner chooses the partition of what is replayed, too', async () => {
    await kafka.createTopic('partitioned', { partitions: 4 })
    await kafka.createTopic('partitioned-too', { partitions: 2 })
    const directory = makeDirectory()
    const lines = range(0, 400).map((i) =>
      lineOf({ topic: i % 3 ? 'partitioned' : 'partitioned-too', value: `{"i":${i}}` })
    )
    leaveFile(directory, `${lines.join('\n')}\n`)
    const asked = []
    const partitioner = {
      partition(topic, partitions, message) {
        asked.push([topic, partitions.length, message.key, message.value])
        return JSON.parse(message.value).i % partitions.length
      },
    }
    const publisher = make('partitioned', { partitioner, fallback: { directory } })
    publisher.queue('live', { i: 402 })
    await untilReplayed(publisher)
    for (const [topic, count] of Object.entries({ partitioned: 4, 'partitioned-too': 2 })) {
      const messages = await readTopic(kafka.bootstrap, topic)
      const wrong = messages.filter(
        ({ partition, value }) => partition !== JSON.parse(value).i % count
      )
      expect(wrong).toEqual([])
      for (const wanted of range(0, count)) {
        const inPartition = messages.filter(({ partition }) => partition === wanted)
        expect(inPartition.length).toBeGreaterThan(0)
        expect(
          unordered(numbersOf(inPartition.filter(({ key }) => key.toString() === '"k"')))
        ).toEqual([])
      }
    }
    expect(asked).toContainEqual(['partitioned', 4, '"k"', '{"i":1}'])
    expect(publisher.getStatistics()).toMatchObject({ sentCnt: 401, unaccountedCnt: 0 })
  })

  test.each([
    ['raw', 'json'],
    ['json', 'raw'],
  ])("keys of keyEncoding '%s' arrive as they are, by a publisher of '%s'", async (by, other) => {
    const topic = `keys-${by}`
    await kafka.createTopic(topic)
    const directory = makeDirectory()
    const keys = [
      'plain',
      'qu"ote',
      'back\\slash',
      'line\nbreak',
      'é 😀 \u2028',
      '7',
      '',
      42,
      { id: [1] },
    ]
    const away = make(topic, {
      connectionString: '127.0.0.1:1',
      keyEncoding: by,
      fallback: { directory },
    })
    for (const [i, key] of keys.entries()) away.queue(key, { i })
    await away.end()
    expect(away.getStatistics()).toMatchObject({ fallback: { messages: keys.length } })

    const publisher = make(topic, { keyEncoding: other, fallback: { directory } })
    await untilReplayed(publisher)
    const arrived = (await readTopic(kafka.bootstrap, topic)).map(({ key }) => key.toString())
    const isRaw = (key) => by === 'raw' && typeof key === 'string'
    expect(arrived).toEqual(keys.map((key) => (isRaw(key) ? key : JSON.stringify(key))))
    expect(publisher.getStatistics()).toMatchObject({
      recoveredCnt: keys.length,
      replay: { rejectedCnt: 0 },
      unaccountedCnt: 0,
    })
  })
})
