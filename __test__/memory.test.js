// Memory is bounded: queue() says when it is nearly full, drained() when it no longer is, and what
// does not fit goes to file. Callers who ignore both lose nothing.

const net = require('node:net')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { startClock } = require('./support/delays')
const { makePublisher, makeDirectory, endPublishers, readFallback } = require('./support/publisher')
const { until } = require('./support/until')

// Accepts connections and never answers: messages pile up in memory.
const silentBroker = net.createServer((socket) => socket.resume())
beforeAll(async () => {
  silentBroker.listen(0, '127.0.0.1')
  await once(silentBroker, 'listening')
})
afterAll(() => silentBroker.close())
afterEach(endPublishers)

const MAX = 16 << 20
const COST = 256 + 1000

const make = (options) =>
  makePublisher({
    connectionString: `127.0.0.1:${silentBroker.address().port}`,
    defaultTopic: 't',
    maxBufferedBytes: MAX,
    ...options,
  })
const message = (i) => ({ i, text: 'x'.repeat(980) })

/** A publisher without a Kafka, whose directory can't be made until `unblock()` is called. */
function makeBlocked() {
  const blocked = path.join(makeDirectory(), 'blocked')
  fs.writeFileSync(blocked, '')
  const publisher = make({
    connectionString: '127.0.0.1:1',
    retries: { attempts: 1 },
    batch: { maxWait: 0 },
    maxBufferedBytes: 1 << 20,
    fallback: {
      directory: path.join(blocked, 'below'),
      retryOptions: { forever: true, minTimeout: 10, maxTimeout: 50 },
    },
  })
  return { publisher, unblock: () => fs.rmSync(blocked) }
}

test('a caller who ignores back-pressure loses nothing, and memory stays bounded', async () => {
  const publisher = make()
  const count = 50_000
  let most = 0
  for (let i = 0; i < count; i++) {
    publisher.queue('k', message(i))
    most = Math.max(most, publisher.queued())
    // A service does other things, too, for which the disk keeps pace: when it does not is another test.
    if (i % 100 === 99) {
      await new Promise(setImmediate)
      await until(() => publisher.queued() * COST < MAX * 0.95)
    }
  }
  expect(most * COST).toBeLessThan(MAX * 1.1)
  await publisher.end()
  const statistics = publisher.getStatistics()
  expect(statistics.spilledCnt).toBeGreaterThan(0)
  expect(statistics.discardedCnt.total).toBe(0)
  const seen = new Set(readFallback(publisher.directory).map(({ value }) => value.i))
  expect(seen.size).toBe(count)
})

test('queue() returns false when memory is nearly full, and drained() resolves when there is room', async () => {
  const publisher = make()
  let queued = 0
  while (publisher.queue('k', message(queued))) queued++
  expect(queued).toBeGreaterThan(100)
  expect(publisher.getStatistics().discardedCnt.total).toBe(0)
  await publisher.drained()
  expect(publisher.queue('k', message(queued))).toBe(true)
})

test('a caller who waits for drained() loses nothing even when the disk does not keep pace', async () => {
  const { publisher, unblock } = makeBlocked()
  let queued = 0
  let waits = 0
  const writing = (async () => {
    while (queued < 3000) {
      if (!publisher.queue('k', message(queued++))) {
        waits++
        await publisher.drained()
      }
    }
  })()
  await until(() => publisher.getStatistics().filePublisher.errorCnt > 3)
  expect(queued).toBeLessThan(3000)
  unblock()
  await writing
  await publisher.end()
  expect(waits).toBeGreaterThan(0)
  expect(publisher.getStatistics()).toMatchObject({
    discardedCnt: { total: 0 },
    fallback: { messages: 3000 },
    unaccountedCnt: 0,
  })
})

test('when neither Kafka nor the disk keeps pace, what does not fit is counted as bufferFull', async () => {
  const blocked = path.join(makeDirectory(), 'blocked')
  fs.writeFileSync(blocked, '')
  const publisher = make({
    maxBufferedBytes: 1 << 20,
    fallback: {
      directory: path.join(blocked, 'below'),
      retryOptions: { forever: true, minTimeout: 10, maxTimeout: 20 },
    },
  })
  for (let i = 0; i < 10_000; i++) publisher.queue('k', message(i))
  const { discardedCnt, unaccountedCnt, queueCnt } = publisher.getStatistics()
  expect(discardedCnt.bufferFull).toBeGreaterThan(0)
  expect([queueCnt, unaccountedCnt]).toEqual([10_000, 0])
})

test('drained() resolves as soon as the disk has taken what was waiting for it', async () => {
  const { publisher, unblock } = makeBlocked()
  for (let i = 0; publisher.queue('k', message(i)); i++);
  await until(() => publisher.getStatistics().filePublisher.errorCnt > 3)
  const drained = publisher.drained()
  unblock()
  await until(() => publisher.getStatistics().fallback.messages > 0)
  const clock = startClock()
  await drained
  clock.stop()
  // Not at the worker's next tick, which is seconds away while nothing happens.
  expect(clock.now()).toBeLessThan(1000)
})
