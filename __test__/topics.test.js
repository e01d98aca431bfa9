const {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ResourcePatternTypes,
} = require('kafkajs')
const { withAdmin } = require('./support/client')
const { readTopic } = require('./support/consume')
const {
  missingFrom,
  numbersInFile,
  numbersInTopic,
  startLoad,
  unordered,
} = require('./support/load')
const {
  endPublishers,
  makeDirectory,
  makePublisher,
  readFallback,
  untilState,
} = require('./support/publisher')
const { leaveFile, numberedLines, untilReplayed } = require('./support/replay')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const CLIENT = 'User:CN=kafka-publisher test client'

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
  await kafka.createTopic('well', { partitions: 3 })
})
afterEach(endPublishers)

/** Over TLS it has a name that access rules apply to. */
function makeNamedPublisher(options) {
  return makePublisher({
    connectionString: kafka.tlsBootstrap,
    ssl: { cert: kafka.certificates.clientCert, key: kafka.certificates.clientKey },
    defaultTopic: 'well',
    // So long that a busy machine delivers in time what can be delivered.
    retries: { attempts: 4, delay: { min: 1000, max: 1000 } },
    retryOptions: { minTimeout: 100, maxTimeout: 200 },
    ...options,
  })
}

const denied = {
  resourceType: AclResourceTypes.TOPIC,
  resourceName: 'denied',
  resourcePatternType: ResourcePatternTypes.LITERAL,
  principal: CLIENT,
  host: '*',
  operation: AclOperationTypes.WRITE,
  permissionType: AclPermissionTypes.DENY,
}

describe.each([
  {
    trouble: 'that Kafka does not know',
    topic: 'unknown',
    async prepare() {},
    mend: () => kafka.createTopic('unknown', { partitions: 3 }),
    reason: /unknown topic/i,
  },
  {
    trouble: 'that this client may not write to',
    topic: 'denied',
    async prepare() {
      await kafka.createTopic('denied', { partitions: 3 })
      await withAdmin(kafka.bootstrap, (admin) => admin.createAcls({ acl: [denied] }))
    },
    mend: () => withAdmin(kafka.bootstrap, (admin) => admin.deleteAcls({ filters: [denied] })),
    reason: /authorization failed/i,
  },
])('a topic $trouble', ({ topic, prepare, mend, reason }) => {
  test('has its messages in a file until it is well, and then in Kafka; other topics flow on', async () => {
    await prepare()
    const publisher = makeNamedPublisher()
    const statistics = () => publisher.getStatistics()
    const wellBefore = (await readTopic(kafka.bootstrap, 'well')).length
    await publisher.init()
    const ill = startLoad(publisher, { topic })
    const well = startLoad(publisher)
    try {
      await until(() => statistics().fallback.messages >= 1000, {
        what: () => `1000 messages in a file; there are ${statistics().fallback.messages}`,
      })
      const wellCount = well.count()
      await until(() => statistics().sentCnt >= wellCount, {
        what: () => `${wellCount} messages in the other topic; ${statistics().sentCnt} are`,
      })
      const lines = readFallback(publisher.directory)
      expect(lines.filter((line) => line.topic !== topic)).toEqual([])
      // But for those that were tried meanwhile, and came back after younger ones were written.
      expect(unordered(numbersInFile(lines)).length).toBeLessThan(20)
      await mend()
      const warnings = () => publisher.lines.filter(({ text }) => /takes (no )?messages/.test(text))
      await until(() => warnings().some(({ text }) => text.includes('takes messages again')), {
        what: () => `topic ${topic} to take messages again; ${JSON.stringify(statistics())}`,
      })
      expect(warnings().map(({ level }) => level)).toEqual(['WARN', 'INFO'])
      expect(warnings()[0].text).toMatch(reason)
      ill.stop()
      well.stop()
      for (let i = 0; i < 100; i++) publisher.queue('later', { later: i }, topic)
      await untilReplayed(publisher)
      await publisher.end()
    } finally {
      ill.stop()
      well.stop()
    }

    // To connecting, publishing and ended: the one topic's trouble was not the cluster's.
    expect(statistics()).toMatchObject({
      stateChangeCnt: 3,
      discardedCnt: { total: 0 },
      unaccountedCnt: 0,
    })
    const inTopic = await readTopic(kafka.bootstrap, topic)
    const isLater = ({ key }) => key.toString() === '"later"'
    expect(inTopic.filter(isLater)).toHaveLength(100)
    const numbers = numbersInTopic(inTopic.filter((message) => !isLater(message)))
    expect(missingFrom(ill.count(), numbers)).toEqual([])
    expect(numbers).toHaveLength(ill.count())

    const inWell = await readTopic(kafka.bootstrap, 'well')
    expect(inWell).toHaveLength(wellBefore + well.count())
  })
})

test('only the topic in trouble goes to file when both are queued to before the connection', async () => {
  const publisher = makeNamedPublisher()
  publisher.queue('key', { to: 'nowhere' }, 'unknown-from-the-start')
  publisher.queue('key', { to: 'well' })
  await untilState(publisher, 'publishing')
  await until(() => publisher.queued() === 0, { what: 'an empty queue' })
  expect(readFallback(publisher.directory).map(({ value }) => value)).toEqual([{ to: 'nowhere' }])
  expect(publisher.getStatistics()).toMatchObject({
    sentCnt: 1,
    state: 'publishing',
    stateChangeCnt: 2,
    fallback: { messages: 1 },
  })
})

test('a topic that is deleted has its messages in a file, and again in Kafka when it is back', async () => {
  await kafka.createTopic('deleted')
  const publisher = makeNamedPublisher({ defaultTopic: 'deleted' })
  const statistics = () => publisher.getStatistics()
  publisher.queue('key', { n: 0 })
  await until(() => statistics().sentCnt === 1, { what: 'the first message in Kafka' })
  await kafka.deleteTopic('deleted')
  const load = startLoad(publisher, { perTick: 1 })
  try {
    await until(() => statistics().fallback.messages >= 50, { what: '50 messages in a file' })
    await kafka.createTopic('deleted')
    await until(() => statistics().sentCnt >= 50, { what: '50 messages in Kafka' })
  } finally {
    load.stop()
  }
  await untilReplayed(publisher)
  await publisher.end()
  expect(statistics()).toMatchObject({
    stateChangeCnt: 3,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
  const inTopic = numbersInTopic(await readTopic(kafka.bootstrap, 'deleted'))
  expect(missingFrom(load.count(), inTopic)).toEqual([])
})

test('messages whose time a topic does not take wait in the file, others flow on', async () => {
  // Every message is older than that when it arrives.
  const config = { 'message.timestamp.before.max.ms': 0 }
  await kafka.createTopic('picky', { config })
  const publisher = makeNamedPublisher({ defaultTopic: 'picky' })
  for (let i = 0; i < 10; i++) publisher.queue('key', { i })
  publisher.queue('key', { to: 'well' }, 'well')
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({
    sentCnt: 1,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: 0 },
    stateChangeCnt: 3,
    fallback: { messages: 10 },
    unaccountedCnt: 0,
  })
  const warnings = publisher.lines.filter(({ level }) => level === 'WARN')
  expect(warnings.some(({ text }) => /topic picky takes no messages .*timestamp/i.test(text))).toBe(
    true
  )
})

test("old messages from a file, whose time a topic does not take, are no trouble of its new ones'", async () => {
  await kafka.createTopic('young', { config: { 'message.timestamp.before.max.ms': 600_000 } })
  const directory = makeDirectory()
  const hourAgo = Date.now() - 3_600_000
  leaveFile(directory, numberedLines(0, 100, { topic: 'young', timestamp: hourAgo }))
  const publisher = makeNamedPublisher({ defaultTopic: 'young', fallback: { directory } })
  await publisher.init()
  const load = startLoad(publisher)
  try {
    await until(() => publisher.getStatistics().replay.replayedCnt >= 100, {
      what: 'the replay',
    })
    const before = publisher.getStatistics().sentCnt
    await until(() => publisher.getStatistics().sentCnt >= before + 1000, { what: 'new messages' })
  } finally {
    load.stop()
  }
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({
    filePublisher: { mesgCnt: 0 },
    discardedCnt: { total: 0 },
    replay: { replayedCnt: 100, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
  const messages = await readTopic(kafka.bootstrap, 'young')
  const old = messages.filter(({ key }) => key?.toString() === '"k"')
  const live = messages.filter((message) => !old.includes(message))
  expect(old.map(({ value }) => JSON.parse(value).i)).toEqual(
    Array.from({ length: 100 }, (_, i) => i)
  )
  expect(missingFrom(load.count(), numbersInTopic(live))).toEqual([])
})
