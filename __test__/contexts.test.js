// The addon in every context that Node.js has: several publishers in a process, worker threads, vm
// contexts, module registries that are reset, child processes. KAFKA_PUBLISHER_SOAK=1 makes those
// that look for leaks long (`npm run test:soak`).

const { execFile, fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const vm = require('node:vm')
const { Worker } = require('node:worker_threads')
const { MockCluster } = require('../testing')
const {
  PATIENT,
  makePublisher,
  makeDirectory,
  endPublishers,
  readFallback,
} = require('./support/publisher')

const SOAK = process.env.KAFKA_PUBLISHER_SOAK === '1'
const MESSAGES = SOAK ? 1_000_000 : 200_000
const PUBLISHERS = SOAK ? 10_000 : 200
const ROUNDS = SOAK ? 200 : 6
const LONG = SOAK ? 1_800_000 : 120_000
/** More than the noise of the allocator, less than anything that grows with each publisher. */
const RSS_GROWTH = 24 * 1024 * 1024
/** Half of the messages have this for what each of them might leave: 84 bytes, or 17 in the long run. */
const RSS_GROWTH_OF_MESSAGES = 8 * 1024 * 1024

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('topic', { partitions: 1 })
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

const script = (name) => path.join(__dirname, 'contexts', name)

/** Runs a script with Node.js; resolves with the JSON that it prints. */
function runScript(name, args) {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: 1 << 28 }
    execFile(process.execPath, ['--expose-gc', script(name), ...args], options, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout || 'null'))
    )
  })
}

/** Everything that arrived in Kafka or in a file, each once, as the text of its value. */
async function arrived(directory, published) {
  const values = published ?? (await cluster.readTopic('topic')).map(({ value }) => `${value}`)
  const written = readFallback(directory).map(({ value }) => JSON.stringify(value))
  return [...new Set([...values, ...written])].sort()
}

function expected(senders, count) {
  const values = []
  for (let id = 0; id < senders; id++) {
    for (let i = 0; i < count; i++) values.push(JSON.stringify({ id, i }))
  }
  return values.sort()
}

function expectNoLeak({ before, after }, growth = RSS_GROWTH) {
  expect(after.threads).toBeLessThanOrEqual(before.threads)
  expect(after.files).toBeLessThanOrEqual(before.files)
  expect(after.rss - before.rss).toBeLessThan(growth)
}

test('several publishers in a process keep their options and messages apart', async () => {
  const others = Array.from({ length: 10 }, (_, id) =>
    makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: `topic-${id}`,
      ...PATIENT,
    })
  )
  for (const [id, publisher] of others.entries()) {
    for (let i = 0; i <= id; i++) publisher.queue('key', { id, i })
  }
  await Promise.all(others.map((publisher) => publisher.end()))
  for (const [id, publisher] of others.entries()) {
    expect(publisher.getStatistics().sentCnt).toBe(id + 1)
    const messages = await cluster.readTopic(`topic-${id}`)
    expect(messages.map(({ value }) => JSON.parse(value).id)).toEqual(Array(id + 1).fill(id))
  }
})

if (process.platform === 'linux') {
  test(
    `${MESSAGES} messages leave nothing behind`,
    async () => {
      const result = await runScript('messages.cjs', [MESSAGES, makeDirectory()])
      expect(result.queued).toBe(MESSAGES)
      expect(result.sent + result.onDisk).toBe(MESSAGES)
      expect(result.unaccounted).toBe(0)
      expectNoLeak(result, RSS_GROWTH_OF_MESSAGES)
    },
    LONG
  )

  test(
    `${PUBLISHERS} publishers made and ended leave nothing behind`,
    async () => {
      const directory = makeDirectory()
      const result = await runScript('publishers.cjs', [PUBLISHERS, directory])
      expect(result.queued).toBe(PUBLISHERS * 5)
      expect(result.sent + result.onDisk).toBe(result.queued)
      expect(result.unaccounted).toBe(0)
      expectNoLeak(result)
    },
    LONG
  )

  test(
    `16 worker threads started and terminated ${ROUNDS} times over lose nothing and leave nothing behind`,
    async () => {
      const directory = makeDirectory()
      const result = await runScript('workers.cjs', [ROUNDS, directory])
      expect(result.started).toBe(16 * ROUNDS)
      expect(await arrived(directory, result.published)).toEqual(expected(result.started, 20))
      expectNoLeak(result)
    },
    LONG
  )
}

test.each([
  ['process.exit()', 'process.exit()'],
  ['an uncaught exception', "throw new Error('on purpose')"],
  ['its own end', ''],
])('a worker thread that leaves by %s loses nothing', async (_, leave) => {
  const directory = makeDirectory()
  const options = { connectionString: cluster.connectionString, defaultTopic: 'topic' }
  const program = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const options = ${JSON.stringify({ ...options, logger: { logLevel: 0 }, fallback: { directory } })}
    const publisher = new KafkaPublisher(options)
    for (let i = 0; i < 100; i++) publisher.queue('key', { id: 0, i })
    ${leave}`
  const worker = new Worker(program, { eval: true })
  worker.on('error', () => {}) // its uncaught exception
  await new Promise((resolve) => worker.on('exit', resolve))
  expect(await arrived(directory)).toEqual(expected(1, 100))
})

test('vm contexts: a publisher is made, used and ended in each of many', async () => {
  const directory = makeDirectory()
  const { KafkaPublisher } = require('..')
  const publishing = Array.from({ length: 20 }, (_, id) => {
    const options = {
      connectionString: cluster.connectionString,
      defaultTopic: 'topic',
      logger: { logLevel: 0 },
      fallback: { directory },
    }
    return vm.runInContext(
      `publisher = new KafkaPublisher(options)
       for (let i = 0; i < 10; i++) publisher.queue('key', { id: ${id}, i })
       publisher.end()`,
      vm.createContext({ KafkaPublisher, options })
    )
  })
  await Promise.all(publishing)
  expect(await arrived(directory)).toEqual(expected(20, 10))
})

test('a reset registry of modules loads the addon again, and both go on working', async () => {
  const directory = makeDirectory()
  const options = {
    connectionString: cluster.connectionString,
    defaultTopic: 'topic',
    logger: { logLevel: 0 },
    fallback: { directory },
  }
  const publishers = []
  for (let id = 0; id < 5; id++) {
    jest.resetModules()
    jest.isolateModules(() => publishers.push(new (require('..').KafkaPublisher)(options)))
  }
  for (const [id, publisher] of publishers.entries()) {
    for (let i = 0; i < 10; i++) publisher.queue('key', { id, i })
  }
  await Promise.all(publishers.map((publisher) => publisher.end()))
  expect(await arrived(directory)).toEqual(expected(5, 10))
})

test('child_process.fork: children publish, and end by themselves', async () => {
  const directory = makeDirectory()
  const options = { count: 100, connectionString: cluster.connectionString, directory }
  const codes = await Promise.all(
    [0, 1, 2, 3].map(async (id) => {
      const child = fork(script('worker.cjs'), [JSON.stringify({ ...options, id })])
      const [code] = await once(child, 'exit')
      return code
    })
  )
  expect(codes).toEqual([0, 0, 0, 0])
  expect(await arrived(directory)).toEqual(expected(4, 100))
})

test('cluster: its workers publish, and end by themselves', async () => {
  const directory = makeDirectory()
  const options = { count: 100, connectionString: cluster.connectionString, directory }
  await runScript('cluster.cjs', [JSON.stringify(options)])
  expect(await arrived(directory)).toEqual(expected(4, 100))
})
