// The wall clock is set back or forward by a day while the publisher runs, by a library that stands
// between it and the clock; the broker's stays right. Outages, replay and times go on as they should.

const { Faults } = require('./support/faults')
const { readTopic } = require('./support/consume')
const { Kafka } = require('./support/kafka')
const { makeDirectory, endPublishers, fallbackFiles } = require('./support/publisher')
const { endRemotes, startRemote } = require('./support/remote')
const { coreShare } = require('./support/spoil')
const { until } = require('./support/until')

const HOUR = 3_600_000
const DAY = 24 * HOUR
const MINUTE = 60_000
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

let kafka
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())
afterEach(endRemotes)
afterEach(endPublishers)
afterAll(() => Faults.removeAll())

let topics = 0
async function start(fallback) {
  const topic = `clock-${topics++}`
  await kafka.createTopic(topic)
  const directory = makeDirectory()
  const faults = new Faults(directory)
  const options = {
    connectionString: kafka.bootstrap,
    defaultTopic: topic,
    // So long that a busy machine delivers in time what can be delivered.
    retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
    reconnectionDelay: { min: 100, max: 500 },
    retryOptions: { minTimeout: 200, maxTimeout: 500 },
    batch: { maxWait: 5 },
    fallback: { directory, fsync: 'never', ...fallback },
  }
  const remote = await startRemote(options, { env: faults.env })
  await remote.run(({ publisher }) => publisher.init())
  let last
  const untilStatistics = (condition, what) =>
    until(
      async () => {
        last = await remote.statistics()
        return condition(last) && last
      },
      { what: () => `${what}; ${JSON.stringify(last)}` }
    )
  const read = async () => {
    const messages = await readTopic(kafka.bootstrap, topic)
    return messages.map(({ value, timestamp }) => ({ i: JSON.parse(value).i, timestamp }))
  }
  return {
    remote,
    directory,
    setClock: (ms) => faults.setClock(ms),
    untilSent: (count) => untilStatistics(({ sentCnt }) => sentCnt >= count, `${count} sent`),
    untilOnDisk: (count) =>
      untilStatistics(({ fallback }) => fallback.messages >= count, `${count} on disk`),
    untilState: (state) => untilStatistics((statistics) => statistics.state === state, state),
    untilEmpty: () =>
      untilStatistics(
        ({ fallback, curQueuedCnt }) => fallback.files === 0 && curQueuedCnt === 0,
        'nothing left'
      ),
    read,
  }
}

/** Ends it; everything is in the topic once, in this order, and nothing is left. */
async function expectAll({ remote, directory, read }, count) {
  expect(await remote.end()).toMatchObject({
    sentCnt: count,
    discardedCnt: { total: 0 },
    replay: { rejectedCnt: 0, messages: 0 },
    unaccountedCnt: 0,
  })
  expect(fallbackFiles(directory)).toEqual([])
  const messages = await read()
  expect(messages.map(({ i }) => i).sort((a, b) => a - b)).toEqual(range(0, count))
  return messages
}

test('the process sees the clock that the test sets', async () => {
  const { remote, setClock } = await start()
  for (const ahead of [DAY, -DAY, 0]) {
    setClock(ahead)
    const now = await remote.run(() => Date.now())
    expect(Math.abs(now - Date.now() - ahead)).toBeLessThan(MINUTE)
  }
  await remote.end()
})

describe.each([
  ['back', -DAY],
  ['forward', DAY],
])('set %s by a day', (_, ahead) => {
  test('in an outage, and right again before it is over: all in order, with the times that were told', async () => {
    const publisher = await start({ segmentBytes: 10_000 })
    const { remote, setClock, untilSent, untilOnDisk, untilState, untilEmpty } = publisher
    await remote.queue(0, 100)
    await untilSent(100)
    await kafka.kill()
    await remote.queue(100, 200)
    await untilState('fallingBack')
    await untilOnDisk(100)
    setClock(ahead)
    for (const i of range(2, 10)) {
      await remote.queue(i * 100, i * 100 + 100)
      await untilOnDisk(i * 100)
    }
    setClock(0)
    await remote.queue(1000, 1100)
    await untilOnDisk(1000)
    expect(fallbackFiles(publisher.directory).length).toBeGreaterThan(3)
    await kafka.restart()
    await untilState('publishing')
    await untilEmpty()
    const messages = await expectAll(publisher, 1100)
    // One instance's files, in the order in which it wrote them, whatever its clock has said.
    expect(messages.map(({ i }) => i)).toEqual(range(0, 1100))
    const now = Date.now()
    for (const { i, timestamp } of messages) {
      const was = i < 200 || i >= 1000 || ahead > 0 ? now : now + ahead
      expect(Math.abs(timestamp - was)).toBeLessThan(10 * MINUTE)
    }
  })

  test('for the whole of an outage and after it: it ends all the same', async () => {
    const publisher = await start()
    const { remote, setClock, untilSent, untilOnDisk, untilState, untilEmpty } = publisher
    await remote.queue(0, 100)
    await untilSent(100)
    setClock(ahead)
    await kafka.kill()
    await remote.queue(100, 200)
    await untilState('fallingBack')
    await untilOnDisk(100)
    await kafka.restart()
    await untilState('publishing')
    // Kafka refuses times that have not come, of live messages, too: they wait for the clock.
    if (ahead < 0) await untilEmpty()
    await remote.queue(200, 300)
    if (ahead < 0) await untilSent(300)
    else await untilOnDisk(200)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    setClock(0)
    await untilEmpty()
    await expectAll(publisher, 300)
  })
})

test('a clock that was a day ahead leaves nothing behind: later times are those of the messages', async () => {
  const publisher = await start()
  const { remote, setClock, untilSent, untilOnDisk, untilState, untilEmpty } = publisher
  await remote.queue(0, 100)
  await untilSent(100)
  let sent = 200
  setClock(DAY)
  await remote.queue(100, 200)
  await untilOnDisk(100)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  setClock(0)
  // The next message finds out that the topic's trouble is over; one that is sent to file is on time.
  await until(async () => {
    await remote.queue(sent, ++sent)
    return (await remote.statistics()).sentCnt > 100
  })
  await untilEmpty()
  // What is queued in an outage now has its own time when it is replayed.
  await kafka.kill()
  await remote.queue(sent, sent + 100)
  await untilState('fallingBack')
  await untilOnDisk(100)
  const queued = Date.now()
  await until(() => Date.now() > queued + 1000)
  await kafka.restart()
  await untilEmpty()
  const messages = await expectAll(publisher, sent + 100)
  for (const { i, timestamp } of messages) {
    if (i >= sent) expect(timestamp).toBeLessThanOrEqual(queued)
    expect(timestamp).toBeLessThan(Date.now())
  }
})
