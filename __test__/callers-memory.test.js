// Messages that callers make large, or of very many topics: memory does not grow by them.

const { inProcess } = require('./support/in-process')
const { endPublishers } = require('./support/publisher')

afterEach(endPublishers)

test('refused messages of 300 MB leave no memory behind', async () => {
  const { printed } = await inProcess(
    `
    const kp = new KafkaPublisher({ ...options, logger: { logLevel: 0 } })
    const rss = async () => {
      // The engine's own strings go when nothing on the stack refers to them.
      for (let i = 0; i < 3; i++) { await new Promise(setImmediate); gc() }
      return process.memoryUsage().rss / 1e6
    }
    kp.queue('k', {})
    const before = await rss()
    const huge = () => 'x'.repeat(300_000_000)
    const steps = [() => kp.queue(huge(), {}), () => kp.queue('k', {}, huge())]
    for (let i = 0; i < 3; i++) steps.push(() => kp.queue('k', { text: huge() }))
    // Each fits into memory by itself.
    const half = () => 'x'.repeat(40_000_000)
    for (let i = 0; i < 3; i++) steps.push(() => kp.queue(half(), { text: half() }))
    for (const step of steps) { step(); await rss() }
    print([kp.getStatistics().discardedCnt, (await rss()) - before])
    await kp.end()
  `,
    ['--expose-gc']
  )
  const [discarded, growth] = printed
  expect(discarded).toMatchObject({ tooLarge: 7, badTopic: 1 })
  expect(growth).toBeLessThan(200)
})

test('refused messages name no topic: their topics are not remembered', async () => {
  const { printed } = await inProcess(
    `
    const kp = new KafkaPublisher({ ...options, logger: { logLevel: 0 } })
    const rss = () => { gc(); return process.memoryUsage().rss / 1e6 }
    const refuse = (from, to) => {
      for (let i = from; i < to; i++) kp.queue(null, {}, 'topic-of-a-long-and-made-up-name-'.repeat(6) + i)
    }
    refuse(0, 100_000)
    const before = rss()
    refuse(100_000, 500_000)
    print(rss() - before)
    await kp.end()
  `,
    ['--expose-gc']
  )
  // Remembered, they would take 120 MB.
  expect(printed).toBeLessThan(50)
})

test.each([
  ['without Kafka', false],
  ['with Kafka', true],
])('topics that a caller makes up are forgotten again, %s', async (_name, hasKafka) => {
  const { printed } = await inProcess(
    `
    const cluster = ${hasKafka} ? new MockCluster({ brokers: 1 }) : null
    const kp = new KafkaPublisher({ ...options, logger: { logLevel: 0 },
      fallback: { directory, replay: false },
      connectionString: cluster ? cluster.connectionString : options.connectionString })
    const settled = async () => {
      while (kp.queued() > 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const rss = () => { gc(); return process.memoryUsage().rss / 1e6 }
    let n = 0
    const queue = async (topics) => {
      for (let i = 0; i < topics; i++) kp.queue('k', {}, 'made-up-'.repeat(20) + n++)
      await settled()
    }
    // The cluster keeps its topics, in this process: few, then.
    const [round, rounds] = cluster ? [100, 60] : [5_000, 60]
    for (let i = 0; i < 10; i++) await queue(round)
    const before = rss()
    for (let i = 0; i < rounds; i++) await queue(round)
    const growth = rss() - before
    // One that is used again after its number was forgotten.
    for (let i = 0; i < 3; i++) { kp.queue('k', { again: i }, 'again'); await queue(round); await queue(round) }
    const { unaccountedCnt, queueCnt, sentCnt, fallback, discardedCnt } = kp.getStatistics()
    print({ growth, unaccountedCnt, lost: queueCnt - sentCnt - fallback.messages, discarded: discardedCnt.total })
    process.exit(0)
  `,
    ['--expose-gc']
  )
  expect(printed).toMatchObject({ unaccountedCnt: 0, lost: 0, discarded: 0 })
  // 300,000 names, remembered, would take 100 MB.
  if (!hasKafka) expect(printed.growth).toBeLessThan(40)
})

test('topics that a caller makes up are forgotten while there is always something in memory', async () => {
  const { printed } = await inProcess(`
    const cluster = new MockCluster({ brokers: 1 })
    cluster.createTopic('steady', { partitions: 1 })
    cluster.setLatency(50)
    let closed = 0
    const logFunction = (_level, _clientId, text) => { if (text.includes('a Kafka client is closed')) closed++ }
    // No message is given up because the machine is busy.
    const retries = { attempts: 60, delay: { min: 1000, max: 1000 } }
    const kp = new KafkaPublisher({ ...options, retries, logger: { logFunction }, connectionString: cluster.connectionString })
    await kp.init()
    // Each takes 50 ms.
    let steady = 0
    const timer = setInterval(() => kp.queue('k', { i: steady++ }, 'steady'), 2)
    let n = 0
    while (closed < 2 && n < 20_000) {
      for (let i = 0; i < 20; i++) kp.queue('k', {}, 'made-up-' + n++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    clearInterval(timer)
    cluster.setLatency(0)
    await kp.end()
    const { discardedCnt, unaccountedCnt, queueCnt, sentCnt, fallback } = kp.getStatistics()
    const values = (await cluster.readTopic('steady')).map(({ value }) => JSON.parse(value).i)
    print({ closed, discarded: discardedCnt.total, unaccountedCnt, lost: queueCnt - sentCnt - fallback.messages,
      isInOrder: values.every((value, i) => i === 0 || value > values[i - 1]) })
    process.exit(0)
  `)
  const { closed, ...rest } = printed
  expect(closed).toBeGreaterThan(1)
  expect(rest).toEqual({ discarded: 0, unaccountedCnt: 0, lost: 0, isInOrder: true })
})

test('topics that a caller makes up are forgotten when they come from files', async () => {
  const { printed } = await inProcess(`
    const cluster = new MockCluster({ brokers: 1 })
    cluster.brokerDown()
    let lines = ''
    const logFunction = (_level, _clientId, text) => { lines += text }
    const kp = new KafkaPublisher({ ...options, logger: { logFunction }, connectionString: cluster.connectionString })
    for (let i = 0; i < 3000; i++) kp.queue('k', {}, 'made-up-' + i)
    while (kp.getStatistics().fallback.messages < 3000) await new Promise((resolve) => setTimeout(resolve, 10))
    cluster.brokerUp()
    const isForgotten = () => /topics without messages are forgotten/.test(lines)
    for (let i = 0; i < 2000 && !isForgotten(); i++) {
      kp.queue('k', {}, 't')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await kp.end()
    const { discardedCnt, unaccountedCnt, queueCnt, sentCnt, fallback } = kp.getStatistics()
    print({ isForgotten: isForgotten(), discarded: discardedCnt.total, unaccountedCnt, lost: queueCnt - sentCnt - fallback.messages })
    process.exit(0)
  `)
  expect(printed).toEqual({ isForgotten: true, discarded: 0, unaccountedCnt: 0, lost: 0 })
})
