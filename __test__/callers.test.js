// What callers do to the class, rightly or wrongly: queue() never throws, runs their code once, and
// keeps nothing.

const { KafkaPublisher } = require('..')
const { MockCluster } = require('../testing')
const { makePublisher, makeDirectory, endPublishers, readFallback } = require('./support/publisher')
const { inProcess } = require('./support/in-process')

afterEach(endPublishers)

const make = (options) =>
  makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    ...options,
  })

test('a value is serialised once', () => {
  const publisher = make()
  let times = 0
  const counting = (result) => ({
    toJSON() {
      times++
      return result()
    },
  })
  publisher.queue(
    'k',
    counting(() => ({ fine: true }))
  )
  publisher.queue(
    'k',
    counting(() => undefined)
  )
  publisher.queue(
    'k',
    counting(() => {
      throw new Error('toJSON throws')
    })
  )
  publisher.queue(
    'k',
    counting(() => 1n)
  )
  expect(times).toBe(4)
  expect(publisher.getStatistics().discardedCnt.badValue).toBe(3)
})

test('a value that refers to itself is serialised twice, and published', async () => {
  const publisher = make()
  let times = 0
  const value = {
    get counted() {
      return ++times
    },
  }
  value.self = value
  publisher.queue('k', value)
  expect(times).toBe(2)
  expect(publisher.getStatistics()).toMatchObject({ queueCnt: 1, curQueuedCnt: 1 })
})

test('a toJSON that queues, queues once', () => {
  const publisher = make()
  publisher.queue('k', {
    toJSON() {
      publisher.queue('inner', {})
      throw new Error('and throws')
    },
  })
  expect(publisher.getStatistics()).toMatchObject({ queueCnt: 2, discardedCnt: { badValue: 1 } })
})

test('a value too long for a string is given up after one try', () => {
  const publisher = make()
  const half = 'x'.repeat(300_000_000)
  let times = 0
  const value = {
    get counted() {
      return ++times
    },
    a: half,
    b: half,
  }
  publisher.queue('k', value)
  expect(times).toBe(1)
  expect(publisher.getStatistics().discardedCnt.badValue).toBe(1)
})

test.each([
  ['undefined', () => undefined],
  ['null', () => null],
  ['a number', () => 1],
  ['another object', () => ({})],
  [
    'a proxy that throws',
    () =>
      new Proxy(
        {},
        {
          get() {
            throw new Error('no')
          },
        }
      ),
  ],
  ['the class itself', () => KafkaPublisher],
  ['its prototype', () => KafkaPublisher.prototype],
  ['a buffer', () => Buffer.alloc(8)],
])('queue() called on %s says so on stderr, and does not throw', async (_name, receiver) => {
  const { queue } = make()
  expect(queue.call(receiver(), 'k', {})).toBe(false)
})

test('queue() without its publisher is told on stderr', async () => {
  const { stderr } = await inProcess(`
    const { queue } = new KafkaPublisher(options)
    queue('k', {})
  `)
  expect(stderr).toContain(
    'kafka-publisher:error message discarded: queue() was not called on a KafkaPublisher'
  )
})

test('queue() at the end of the stack counts what it could not take', () => {
  const publisher = make({ logger: { logLevel: 0 } })
  let taken = 0
  // Frames of many sizes, so that all kinds of little room are left; more of it on each way up.
  for (let size = 0; size < 200; size++) {
    const names = Array.from({ length: size }, (_, i) => `v${i}`)
    const descend = new Function(
      'atEachLevel',
      `return function descend() {
        ${names.map((name) => `let ${name} = this`).join('\n')}
        try { descend() } catch (_error) {}
        atEachLevel()
        return [${names}]
      }`
    )
    let levels = 30
    descend(() => {
      if (levels-- <= 0) return
      // What throws here is the engine, which has no room to enter queue().
      publisher.queue('k', { text: 'x' })
      taken++
    })()
  }
  const { queueCnt, discardedCnt, unaccountedCnt } = publisher.getStatistics()
  expect(queueCnt).toBe(taken)
  expect(discardedCnt.internalError).toBeGreaterThan(0)
  expect(unaccountedCnt).toBe(0)
})

test('other methods called on another object throw a TypeError that names them', () => {
  for (const method of ['init', 'end', 'drained', 'queued', 'getStatistics', 'resetStatistics']) {
    expect(() => KafkaPublisher.prototype[method].call({})).toThrow(TypeError)
    expect(() => KafkaPublisher.prototype[method].call(undefined)).toThrow(method)
  }
})

test('the class needs new, and can be extended', async () => {
  expect(() => KafkaPublisher({ connectionString: '127.0.0.1:1' })).toThrow(TypeError)
  class Mine extends KafkaPublisher {
    queue(key, message) {
      return super.queue(key, { ...message, mine: true })
    }
  }
  const cluster = new MockCluster({ brokers: 1 })
  const directory = makeDirectory()
  const publisher = new Mine({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    fallback: { directory },
  })
  publisher.queue('k', { n: 1 })
  await publisher.end()
  const [message] = await cluster.readTopic('t')
  expect(JSON.parse(message.value)).toEqual({ n: 1, mine: true })
  cluster.close()
})

test('what a program adds to Object.prototype is no option', async () => {
  const { printed } = await inProcess(`
    Object.prototype.x = 1
    Object.prototype.brokers = 'many'
    Object.prototype.defaultTopic = 7
    const cluster = new MockCluster({})
    const kp = new KafkaPublisher({ ...options, defaultTopic: 't', connectionString: cluster.connectionString,
      producer: { 'linger.ms': 1 } })
    kp.queue('k', {})
    await kp.end()
    print(kp.getStatistics().sentCnt)
    cluster.close()
  `)
  expect(printed).toBe(1)
})

test('nor is it a function or a result of ours', async () => {
  const { printed } = await inProcess(`
    for (const name of ['partition', 'redirect', 'problem', 'text', 'deliver']) Object.prototype[name] = () => 1
    Object.prototype.logger = { error() { console.log('told') }, warn() {}, info() {} }
    Object.prototype.get = 1
    const cluster = new MockCluster({ brokers: 1 })
    const kp = new KafkaPublisher({ ...options, connectionString: cluster.connectionString })
    kp.queue(7, { n: 1 })
    kp.queue('k', { n: 1 })
    kp.queue(null, {})
    await kp.end()
    print([kp.getStatistics().sentCnt, kp.getStatistics().discardedCnt.total])
    process.exit(0)
  `)
  expect(printed).toEqual([2, 1])
})

test('functions that reject, instead of throwing, do no harm', async () => {
  const { printed } = await inProcess(`
    const cluster = new MockCluster({ brokers: 1 })
    const fail = async () => { throw new Error('rejected on purpose') }
    const odd = () => Object.assign(Promise.resolve(0), { catch: fail })
    const made = [{ logger: { logFunction: fail } }, { brokerRedirection: fail }, { partitioner: { partition: odd } }]
    const publishers = made.map((one) => new KafkaPublisher({ ...options, ...one, connectionString: cluster.connectionString }))
    for (const kp of publishers) { kp.queue(null, {}); kp.queue('k', {}) }
    await Promise.all(publishers.map((kp) => kp.end()))
    print(publishers.map((kp) => kp.getStatistics().sentCnt))
    cluster.close()
  `)
  expect(printed).toEqual([1, 1, 1])
})

test('a promise keeps its publisher', async () => {
  const { printed } = await inProcess(
    `
    let settled = 'pending'
    const make = () => { new KafkaPublisher({ ...options, logger: { logLevel: 0 } }).init().then(() => { settled = 'resolved' }) }
    make()
    for (let i = 0; i < 50; i++) { await new Promise((resolve) => setTimeout(resolve, 10)); gc() }
    print(settled)
    process.exit(0)
  `,
    ['--expose-gc']
  )
  expect(printed).toBe('pending')
})

test('messages of thousands of topics at once are all on disk when the process ends', async () => {
  const { printed } = await inProcess(`
    const kp = new KafkaPublisher({ ...options, retries: { attempts: 7 }, logger: { logLevel: 0 } })
    for (let i = 0; i < 10_000; i++) kp.queue('k', { i }, 'topic-' + i)
    process.on('exit', () => print(directory))
    process.exit(0)
  `)
  expect(readFallback(printed)).toHaveLength(10_000)
})

test('the same mistake over and over is one line on stderr', async () => {
  const { stderr } = await inProcess(`
    const { queue } = new KafkaPublisher(options)
    for (let i = 0; i < 10_000; i++) queue('k', {})
  `)
  expect(stderr.split('\n').filter((line) => line.includes('was not called on'))).toHaveLength(1)
})

test('getters of a logger and of a partitioner are not read', () => {
  const read = []
  const spied = (methods) =>
    Object.defineProperty(methods, 'secret', { enumerable: true, get: () => read.push('secret') })
  make({
    logger: spied({ error() {}, warn() {}, info() {} }),
    partitioner: spied({ partition: () => 0 }),
  })
  make({ logger: { logLevel: 0, logFunction() {}, app: spied({}) } })
  expect(read).toEqual([])
})

test('each option is read once', () => {
  const reads = {}
  const options = { connectionString: '127.0.0.1:1', defaultTopic: 't', logger: { logLevel: 0 } }
  options.fallback = { directory: makeDirectory() }
  options.partitioner = { partition: () => 0 }
  const spied = {}
  for (const name of Object.keys(options)) {
    Object.defineProperty(spied, name, {
      enumerable: true,
      get() {
        reads[name] = (reads[name] ?? 0) + 1
        return options[name]
      },
    })
  }
  const publisher = new KafkaPublisher(spied)
  expect(reads).toEqual(Object.fromEntries(Object.keys(options).map((name) => [name, 1])))
  return publisher.end()
})

test('an option that is absurdly large is refused at once', () => {
  expect(() => make({ ssl: { ca: new Array(4_000_000_000) } })).toThrow(/ssl\.ca/)
  const row = new Array(10_000).fill(1)
  make({ unknown: { x: new Array(10_000).fill(row) } })
})

test('retries.delay.min beyond what librdkafka takes is shortened, not a crash', async () => {
  const { printed } = await inProcess(`
    const kp = new KafkaPublisher({ ...options, retries: { attempts: 1, delay: { min: 300001 } } })
    print(kp.getStatistics().state)
    process.exit(0)
  `)
  expect(printed).toBe('created')
})

test('lastReset is the start until resetStatistics() is called', () => {
  const before = Math.floor(Date.now() / 1000) * 1000
  const { lastReset, filePublisher } = make().getStatistics()
  expect(new Date(lastReset).toUTCString()).toBe(lastReset)
  expect(Date.parse(lastReset)).toBeGreaterThanOrEqual(before)
  expect(filePublisher.lastReset).toBe(lastReset)
})
