// The counts add up at any moment, are plain JSON, and can be reset.

const { makePublisher, endPublishers } = require('./support/publisher')
const { until } = require('./support/until')

afterEach(endPublishers)

/** The two sides of the conservation law. */
function law(statistics) {
  const { queueCnt, discardedCnt, recoveredCnt, carriedCnt, handedOverCnt } = statistics
  const { curQueuedCnt, fallback, sentCnt, replay } = statistics
  return {
    came: queueCnt + discardedCnt.noTopic + recoveredCnt + carriedCnt,
    isAt:
      curQueuedCnt +
      fallback.messages +
      sentCnt +
      discardedCnt.total +
      replay.rejectedCnt +
      handedOverCnt,
  }
}

function expectLaw(statistics) {
  const { came, isAt } = law(statistics)
  expect(isAt).toBe(came)
  expect(statistics.unaccountedCnt).toBe(0)
}

const make = (options) =>
  makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    batch: { maxWait: 0 },
    ...options,
  })

test('the counts add up at any moment under load, bad messages and a reset included', async () => {
  const publisher = make()
  let calls = 0
  const places = new Set()
  // Until the snapshots have caught messages in every place.
  while (publisher.getStatistics().fallback.messages < 100_000 || places.size < 4) {
    for (let i = 0; i < 500; i++) {
      publisher.queue(i % 50 === 0 ? null : 'k', { i, text: 'x'.repeat(100) })
      if (i % 100 === 0) publisher.queue('k', {}, null)
      if (i % 25 === 0) {
        const statistics = publisher.getStatistics()
        expectLaw(statistics)
        if (statistics.queuedBytes > 0) places.add('inbox')
        if (statistics.inFlightCnt > 0) places.add('in flight')
        if (statistics.fallback.pendingCnt > 0) places.add('on the way to the file')
        if (statistics.fallback.messages > 0) places.add('in the file')
      }
    }
    if (++calls === 50) publisher.resetStatistics()
    await new Promise(setImmediate)
  }
  await publisher.end()
  const statistics = publisher.getStatistics()
  expectLaw(statistics)
  expect(statistics.curQueuedCnt).toBe(0)
})

test('the original names are there, with their meaning', async () => {
  const publisher = make({ retries: { attempts: 1, delay: { min: 1000, max: 1000 } } })
  const before = publisher.getStatistics()
  expect(before).toMatchObject({
    queueCnt: 0,
    curQueuedCnt: 0,
    sentCnt: 0,
    backgroundRetries: 0,
    filePublisher: { mesgCnt: 0, errorCnt: 0 },
    kafkaReady: false,
    backgroundRetrying: false,
    state: 'created',
  })
  expect(new Date(before.lastReset).toUTCString()).toBe(before.lastReset)
  publisher.queue('k', {})
  publisher.queue('k', {})
  expect(publisher.queued()).toBe(2)
  await until(() => publisher.getStatistics().fallback.messages === 2)
  expect(publisher.queued()).toBe(0)
  await until(() => publisher.getStatistics().backgroundRetries > 0)
  expect(publisher.getStatistics()).toMatchObject({
    queueCnt: 2,
    backgroundRetrying: true,
    filePublisher: { mesgCnt: 2 },
    state: 'fallingBack',
  })
})

test('it is plain JSON', () => {
  const statistics = make().getStatistics()
  expect(JSON.parse(JSON.stringify(statistics))).toEqual(statistics)
})

test('resetStatistics() resets counters and keeps gauges', async () => {
  const publisher = make()
  publisher.queue('k', {})
  publisher.queue(null, {})
  await until(() => publisher.getStatistics().fallback.messages === 1)
  publisher.resetStatistics()
  const statistics = publisher.getStatistics()
  expect(statistics).toMatchObject({
    queueCnt: 0,
    errorCnt: 0,
    carriedCnt: 1,
    discardedCnt: { badKey: 0, total: 0 },
    filePublisher: { mesgCnt: 0 },
    fallback: { messages: 1 },
  })
  expect(statistics.lastError).toBeUndefined()
  expect(new Date(statistics.lastReset).toUTCString()).toBe(statistics.lastReset)
  expectLaw(statistics)
})

test('what is returned is a copy', () => {
  const publisher = make()
  publisher.getStatistics().queueCnt = 99
  expect(publisher.getStatistics().queueCnt).toBe(0)
})
