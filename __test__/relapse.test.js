// Kafka, or one topic of it, is in trouble again while files are replayed: the replay waits, goes on
// where it was, and nothing else suffers.

const fs = require('node:fs')
const { ConfigResourceTypes } = require('kafkajs')
const { MockCluster } = require('../testing')
const { withAdmin } = require('./support/client')
const { readTopic, topicEnd } = require('./support/consume')
const { startClock } = require('./support/delays')
const { Kafka } = require('./support/kafka')
const { missingFrom, unordered } = require('./support/load')
const { TcpProxy } = require('./support/proxy')
const { endPublishers, makeDirectory, makePublisher, untilState } = require('./support/publisher')
const {
  SOON,
  leaveFile,
  lineOf,
  numberedLines,
  rejectedBytes,
  sampleStatistics,
  timesLogged,
  untilReplayed,
} = require('./support/replay')
const { until } = require('./support/until')

const INSTANCE = '00000001-aaaa-4aaa-8aaa-aaaaaaaaaaaa'

let kafka
let directory
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())
beforeEach(() => {
  directory = makeDirectory()
})
afterEach(endPublishers)

const make = (defaultTopic, maxMessagesPerSecond, options) =>
  makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic,
    ...SOON,
    ...options,
    fallback: { directory, replay: { maxMessagesPerSecond } },
  })
const numbersOf = (messages) => messages.map(({ value }) => JSON.parse(value).i)

/** Each number where it comes for the first time. */
const firsts = (numbers) => [...new Set(numbers)]

test('Kafka goes away ten times in a row in mid-replay: nothing is lost, and it goes on each time', async () => {
  const [TIMES, FILES, COUNT] = [10, 4, 20_000]
  await kafka.createTopic('relapse', { partitions: 3 })
  const proxy = await TcpProxy.start(kafka.bootstrap)
  try {
    for (let sequence = 1; sequence <= FILES; sequence++) {
      let text = ''
      for (let i = ((sequence - 1) * COUNT) / FILES; i < (sequence * COUNT) / FILES; i++) {
        text += `${lineOf({ topic: 'relapse', key: `"key ${i % 50}"`, value: `{"i":${i}}` })}\n`
      }
      leaveFile(directory, text, { instance: INSTANCE, sequence })
    }
    const publisher = make('relapse', 4000, {
      brokerRedirection: { [kafka.bootstrap]: proxy.address },
    })
    const samples = sampleStatistics(publisher)
    const statistics = () => publisher.getStatistics()
    for (let time = 0; time < TIMES; time++) {
      const { replayedCnt } = statistics().replay
      await until(() => statistics().replay.replayedCnt >= replayedCnt + 500)
      if (time % 2) proxy.cut()
      else proxy.swallow()
      await untilState(publisher, 'fallingBack')
      publisher.queue('live', { i: COUNT + time })
      await until(() => publisher.queued() === 0)
      expect(statistics().replay.messages).toBeGreaterThan(0)
      proxy.recover()
      await untilState(publisher, 'publishing')
    }
    await untilReplayed(publisher)
    await publisher.end()
    expect(samples.stop().slice(0, 3)).toEqual([])

    const messages = await readTopic(kafka.bootstrap, 'relapse')
    const all = numbersOf(messages)
    expect(missingFrom(COUNT + TIMES, all)).toEqual([])
    expect(all.filter((i) => !(i < COUNT + TIMES))).toEqual([])
    for (const wanted of [0, 1, 2]) {
      const inPartition = messages.filter(({ partition }) => partition === wanted)
      expect(unordered(firsts(numbersOf(inPartition)))).toEqual([])
    }
    // What was on its way each time, at most.
    const onTheirWay = samples.all.map(({ replay }) => replay.inFlightCnt)
    expect(all.length - COUNT - TIMES).toBeLessThanOrEqual(TIMES * Math.max(...onTheirWay))
    expect(statistics()).toMatchObject({
      queueCnt: TIMES,
      recoveredCnt: COUNT,
      sentCnt: COUNT + TIMES,
      // Connecting, publishing, ten times away and back, ended.
      stateChangeCnt: 2 + 2 * TIMES + 1,
      discardedCnt: { total: 0 },
      replay: { rejectedCnt: 0, replayedCnt: COUNT + TIMES },
      unaccountedCnt: 0,
    })
    expect(timesLogged(publisher, 'Kafka does not answer')).toBe(TIMES)
    expect(timesLogged(publisher, 'Kafka answers again')).toBe(TIMES)
    expect(fs.readdirSync(directory)).toEqual([])
  } finally {
    await endPublishers()
    await proxy.stop()
  }
})

test('the broker is killed in mid-replay, and started again', async () => {
  await kafka.createTopic('killed')
  leaveFile(directory, numberedLines(0, 3000, { topic: 'killed' }))
  const publisher = make('killed', 1000)
  const samples = sampleStatistics(publisher)
  await until(() => publisher.getStatistics().replay.replayedCnt >= 500)
  await kafka.kill()
  await untilState(publisher, 'fallingBack')
  await kafka.restart()
  await untilReplayed(publisher)
  const numbers = numbersOf(await readTopic(kafka.bootstrap, 'killed'))
  expect(missingFrom(3000, numbers)).toEqual([])
  expect(unordered(firsts(numbers))).toEqual([])
  const onTheirWay = Math.max(...samples.all.map(({ replay }) => replay.inFlightCnt))
  expect(numbers.length).toBeLessThanOrEqual(3000 + onTheirWay)
  expect(samples.stop().slice(0, 3)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: 3000, replay: { rejectedCnt: 0 } })
})

/** Three files in which messages of two topics alternate: even numbers in the first. */
function leaveAlternating(topics, count) {
  for (const sequence of [1, 2, 3]) {
    let text = ''
    for (let i = ((sequence - 1) * count) / 3; i < (sequence * count) / 3; i++) {
      text += numberedLines(i, i + 1, { topic: topics[i % 2] })
    }
    leaveFile(directory, text, { instance: INSTANCE, sequence })
  }
}

test('a topic deleted in mid-replay: the others go on, its messages wait until it is there again', async () => {
  const COUNT = 3000
  await kafka.createTopic('doomed')
  await kafka.createTopic('fine')
  leaveAlternating(['fine', 'doomed'], COUNT)
  const publisher = make('fine', 500)
  const samples = sampleStatistics(publisher)
  const statistics = () => publisher.getStatistics()
  await until(() => statistics().replay.replayedCnt >= 200)
  await kafka.deleteTopic('doomed')
  await until(async () => (await topicEnd(kafka.bootstrap, 'fine')) >= COUNT / 2, {
    what: () => `all messages of the other topic; ${JSON.stringify(statistics())}`,
  })
  publisher.queue('live', { i: COUNT })
  await until(async () => (await topicEnd(kafka.bootstrap, 'fine')) > COUNT / 2)
  await until(() => statistics().replay.state === 'waiting')
  const { fallback, state, replay } = statistics()
  expect({ state, rejected: replay.rejectedCnt }).toEqual({ state: 'publishing', rejected: 0 })
  expect(fallback.messages).toBeGreaterThan(COUNT / 6)
  expect(fallback.messages).toBeLessThan(COUNT / 2)
  const fine = numbersOf(await readTopic(kafka.bootstrap, 'fine'))
  expect(fine).toEqual([...Array.from({ length: COUNT / 2 }, (_, i) => 2 * i), COUNT])

  await kafka.createTopic('doomed')
  await untilReplayed(publisher)
  const doomed = numbersOf(await readTopic(kafka.bootstrap, 'doomed'))
  expect(doomed).toHaveLength(fallback.messages)
  expect(doomed).toEqual(
    Array.from({ length: doomed.length }, (_, i) => COUNT + 1 - 2 * (doomed.length - i))
  )
  await publisher.end()
  expect(samples.stop().slice(0, 3)).toEqual([])
  expect(statistics()).toMatchObject({
    sentCnt: COUNT + 1,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: 0 },
    stateChangeCnt: 3,
    unaccountedCnt: 0,
  })
  expect(fs.readdirSync(directory)).toEqual([])
})

test('messages refused as too large in mid-replay are kept apart; all others arrive', async () => {
  const COUNT = 900
  await kafka.createTopic('shrunk')
  await kafka.createTopic('roomy')
  const files = []
  const large = new Map()
  for (const sequence of [1, 2, 3]) {
    let text = ''
    for (let i = ((sequence - 1) * COUNT) / 3; i < (sequence * COUNT) / 3; i++) {
      const isLarge = i % 6 === 0
      const value = JSON.stringify({ i, text: 'x'.repeat(isLarge ? 3000 : 10) })
      const line = `${lineOf({ topic: i % 2 ? 'roomy' : 'shrunk', value })}\n`
      if (isLarge) large.set(i, line)
      text += line
    }
    files.push(leaveFile(directory, text, { instance: INSTANCE, sequence }))
  }
  const publisher = make('roomy', 150)
  const samples = sampleStatistics(publisher)
  const statistics = () => publisher.getStatistics()
  await until(() => statistics().replay.replayedCnt >= 50)
  const resource = {
    type: ConfigResourceTypes.TOPIC,
    name: 'shrunk',
    configEntries: [{ name: 'max.message.bytes', value: '1000' }],
  }
  await withAdmin(kafka.bootstrap, (admin) =>
    admin.alterConfigs({ resources: [resource], validateOnly: false })
  )
  await untilReplayed(publisher)
  await publisher.end()
  expect(samples.stop().slice(0, 3)).toEqual([])

  const roomy = numbersOf(await readTopic(kafka.bootstrap, 'roomy'))
  expect(roomy).toEqual(Array.from({ length: COUNT / 2 }, (_, i) => 2 * i + 1))
  const shrunk = numbersOf(await readTopic(kafka.bootstrap, 'shrunk'))
  const refused = [...large.keys()].filter((i) => !shrunk.includes(i))
  expect(refused.length).toBeGreaterThan(20)
  expect(missingFrom(COUNT, roomy, shrunk)).toEqual(refused)
  expect(shrunk).toHaveLength(new Set(shrunk).size)
  const kept = rejectedBytes(directory).toString()
  expect(kept === refused.map((i) => large.get(i)).join('')).toBe(true)
  const names = fs.readdirSync(directory)
  expect(names.filter((name) => !name.endsWith('.rejected'))).toEqual([])
  expect(statistics()).toMatchObject({
    sentCnt: COUNT - refused.length,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: refused.length },
    unaccountedCnt: 0,
  })
  expect(timesLogged(publisher, 'a line cannot be replayed')).toBe(refused.length)
})

test('messages that wait for Kafka longer than the retry window are not overtaken by later ones', async () => {
  const COUNT = 6000
  const cluster = new MockCluster({ brokers: 1 })
  try {
    cluster.createTopic('patient', { partitions: 1 })
    // As a broker that has just started: it is there, and takes nothing yet.
    cluster.failRequests('InitProducerId', Array(1000).fill('COORDINATOR_LOAD_IN_PROGRESS'))
    leaveFile(directory, numberedLines(0, COUNT, { topic: 'patient' }))
    const publisher = make('patient', 2000, { connectionString: cluster.connectionString })
    const statistics = () => publisher.getStatistics()
    await until(() => statistics().replay.inFlightCnt > 0)
    // The window is 1.5 s, and messages that are over it are looked for each second.
    const begin = performance.now()
    await until(() => performance.now() - begin > 2600)
    expect(statistics().replay.replayedCnt).toBe(0)
    cluster.clearFailures('InitProducerId')
    await until(() => statistics().replay.replayedCnt === COUNT)
    const numbers = numbersOf(await cluster.readTopic('patient'))
    expect(numbers).toEqual(Array.from({ length: COUNT }, (_, i) => i))
    expect(publisher.getStatistics()).toMatchObject({ stateChangeCnt: 2, unaccountedCnt: 0 })
  } finally {
    await endPublishers()
    cluster.close()
  }
})

test('a topic without a leader in mid-replay: the others go on, its messages follow when it has one', async () => {
  const COUNT = 3000
  const cluster = new MockCluster({ brokers: 2 })
  try {
    for (const topic of ['led', 'leaderless']) cluster.createTopic(topic, { partitions: 1 })
    leaveAlternating(['led', 'leaderless'], COUNT)
    // So little memory that what one topic has on its way leaves no room for the other.
    const publisher = make('led', 2000, {
      connectionString: cluster.connectionString,
      maxBufferedBytes: 1 << 20,
    })
    const samples = sampleStatistics(publisher)
    await until(() => publisher.getStatistics().replay.replayedCnt >= 500)
    cluster.setPartitionLeader('leaderless', 0, null)
    await until(async () => (await cluster.topicEnd('led')) === COUNT / 2)
    expect(publisher.getStatistics().state).toBe('publishing')
    expect(publisher.getStatistics().fallback.messages).toBeGreaterThan(100)
    await until(() => publisher.getStatistics().replay.state === 'waiting')
    cluster.setPartitionLeader('leaderless', 0, 1)
    const clock = startClock()
    await untilReplayed(publisher)
    clock.stop()
    // Its 1000 messages, and the wait for its trial: 0.3 s at most, and 0.5 s for one that fails; and a busy machine.
    expect(clock.now()).toBeLessThan(8000)
    const led = numbersOf(await cluster.readTopic('led'))
    expect(led).toEqual(Array.from({ length: COUNT / 2 }, (_, i) => 2 * i))
    const leaderless = firsts(numbersOf(await cluster.readTopic('leaderless')))
    expect(leaderless).toEqual(led.map((i) => i + 1))
    expect(samples.stop().slice(0, 3)).toEqual([])
    expect(publisher.getStatistics()).toMatchObject({ sentCnt: COUNT, stateChangeCnt: 2 })
  } finally {
    await endPublishers()
    cluster.close()
  }
})
