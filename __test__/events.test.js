// What listeners and diagnostics channels are told, and what an AbortSignal ends.

const { once } = require('node:events')
const dc = require('node:diagnostics_channel')
const { MockCluster } = require('../testing')
const { inProcess } = require('./support/in-process')
const { PATIENT, endPublishers, makePublisher, readFallback } = require('./support/publisher')
const { until } = require('./support/until')

const NAMES = ['state', 'discard', 'replayed', 'spill']
const NOBODY = { connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 } }

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
})
afterEach(endPublishers)
afterEach(() => cluster.close())

/** All that is told, by name. */
function listen(publisher) {
  const heard = Object.fromEntries(NAMES.map((name) => [name, []]))
  for (const name of NAMES) publisher.on(name, (...args) => heard[name].push(args))
  return heard
}

const tally = (discards) => {
  const sums = {}
  for (const [{ topic, reason, count }] of discards) {
    const name = `${reason} ${topic}`
    sums[name] = (sums[name] ?? 0) + count
  }
  return sums
}

test('an outage: each change of state, and each file that is through', async () => {
  const channels = []
  const subscriber = (message, name) => channels.push([name, message])
  for (const name of NAMES) dc.subscribe(`kafka-publisher:${name}`, subscriber)
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    retries: { attempts: 2 },
  })
  const heard = listen(publisher)
  await publisher.init()
  cluster.brokerDown(1)
  publisher.queue('key', { n: 1 })
  const [to, from] = await once(publisher, 'state')
  expect([to, from]).toEqual(['fallingBack', 'publishing'])
  const [{ file }] = await until(() => {
    cluster.brokerUp(1)
    return heard.replayed[0]
  })
  expect(file).toMatch(/^fallback-.*\.log$/)
  await publisher.end()
  expect(heard.state).toEqual([
    ['connecting', 'created'],
    ['publishing', 'connecting'],
    ['fallingBack', 'publishing'],
    ['publishing', 'fallingBack'],
    ['ended', 'publishing'],
  ])
  const states = channels.filter(([name]) => name === 'kafka-publisher:state')
  expect(states.map(([, { to, from }]) => [to, from])).toEqual(heard.state)
  expect(states.every(([, message]) => message.publisher === publisher)).toBe(true)
  expect(channels.filter(([name]) => name.endsWith(':replayed'))).toHaveLength(
    heard.replayed.length
  )
  for (const name of NAMES) dc.unsubscribe(`kafka-publisher:${name}`, subscriber)
})

test('discards are told by topic and reason, and add up to the counts', async () => {
  const publisher = makePublisher({
    ...NOBODY,
    maxBufferedBytes: 100_000,
    fallback: { maxBytes: 3000 },
  })
  const heard = listen(publisher)
  for (let n = 0; n < 10; n++) {
    publisher.queue('key', null, `topic-${n % 2}`)
    publisher.queue('key', { text: 'x'.repeat(200_000) })
    publisher.queue('key', {}, 'a b')
    publisher.queue('key', { text: 'x'.repeat(500) }, 'filed')
  }
  await until(() => publisher.queued() === 0)
  await publisher.end()
  publisher.queue('key', {})
  const sums = await until(() => {
    const all = tally(heard.discard)
    return all['ended t'] && all
  })
  const { discardedCnt } = publisher.getStatistics()
  expect(sums).toEqual({
    'badValue topic-0': 5,
    'badValue topic-1': 5,
    'tooLarge t': 10,
    'badTopic a b': 10,
    'fallbackFull filed': discardedCnt.fallbackFull,
    'ended t': 1,
  })
  expect(discardedCnt.fallbackFull).toBeGreaterThan(0)
  expect(Object.values(sums).reduce((all, count) => all + count)).toBe(discardedCnt.total)
})

test('as many spills are told as are counted', async () => {
  const publisher = makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    maxBufferedBytes: 200_000,
    ...PATIENT,
  })
  const heard = listen(publisher)
  for (let n = 0; n < 10_000; n++) publisher.queue('key', { n })
  await publisher.end()
  // How many there are is a matter of the machine's speed.
  const { spilledCnt } = publisher.getStatistics()
  expect(heard.spill.reduce((all, [{ count }]) => all + count, 0)).toBe(spilledCnt)
})

test('listeners come and go as with an EventEmitter', async () => {
  const publisher = makePublisher(NOBODY)
  const heard = []
  const first = () => heard.push('first')
  expect(publisher.listenerCount('discard')).toBe(0)
  expect(publisher.on('discard', first)).toBe(publisher)
  publisher.once('discard', () => heard.push('once'))
  publisher.addListener('discard', () => heard.push('second'))
  expect(publisher.listenerCount('discard')).toBe(3)
  publisher.queue('key', null)
  await until(() => heard.length === 3)
  expect(publisher.off('discard', first)).toBe(publisher)
  publisher.queue('key', null)
  await until(() => heard.length === 4)
  expect(heard).toEqual(['first', 'once', 'second', 'second'])
  expect(() => publisher.on('discard', 5)).toThrow('listener')
})

test('what a listener throws is an uncaught exception, and keeps nobody from hearing', async () => {
  const { printed } = await inProcess(`
    const seen = []
    process.on('uncaughtException', ({ message }) => seen.push(message))
    const publisher = new KafkaPublisher({ ...options, logger: { logLevel: 0 } })
    publisher.on('state', () => { throw new Error('mine') })
    publisher.on('discard', ({ count }) => seen.push(count))
    publisher.queue('key', null)
    publisher.queue('key', {})
    publisher.end().then(() => setImmediate(() => print(seen)))
  `)
  expect(printed.filter((it) => it === 'mine').length).toBeGreaterThanOrEqual(2)
  expect(printed).toContain(1)
})

test('an aborted init() or drained() rejects, and keeps no process alive', async () => {
  const publisher = makePublisher(NOBODY)
  await expect(publisher.init({ signal: AbortSignal.abort() })).rejects.toThrow('aborted')
  await expect(publisher.init({ signal: AbortSignal.timeout(5) })).rejects.toThrow('timeout')
  await expect(publisher.init({ signal: 5 })).rejects.toThrow(TypeError)
  const reason = new Error('my reason')
  const controller = new AbortController()
  const waiting = publisher.init({ signal: controller.signal })
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(publisher.drained({ signal: AbortSignal.timeout(60_000) })).resolves.toBeUndefined()

  const { printed } = await inProcess(`
    const publisher = new KafkaPublisher(options)
    await publisher.init({ signal: AbortSignal.timeout(5) }).catch(({ name }) => print(name))
  `)
  expect(printed).toBe('TimeoutError')
})

test('end({ timeoutMs }) gives Kafka so long', async () => {
  const publisher = makePublisher({ ...NOBODY, ...PATIENT })
  for (let n = 0; n < 100; n++) publisher.queue('key', { n })
  await publisher.end({ timeoutMs: 0 })
  expect(readFallback(publisher.directory)).toHaveLength(100)
  const odd = makePublisher(NOBODY)
  await odd.end({ timeoutMs: 'soon' })
  expect(odd.lines.some(({ level, text }) => level === 'WARN' && /timeoutMs/.test(text))).toBe(true)
})
