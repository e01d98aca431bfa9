// A name server that never answers: whatever waits for it, nothing else does.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { endPublishers, makeDirectory, readFallback } = require('./support/publisher')
const { preload } = require('./support/preload')
const { endRemotes, startRemote } = require('./support/remote')
const { until } = require('./support/until')

const ROOT = JSON.stringify(path.resolve(__dirname, '..'))
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const numbersIn = (directory) => readFallback(directory).map(({ value }) => value.i)

let env
beforeEach(() => {
  env = preload('hung-names', makeDirectory())
})
afterEach(endRemotes)
afterEach(endPublishers)

test.each([
  ['process.exit()', 'process.exit(3)', 3],
  ['end()', 'kp.end().then(() => process.exit(4))', 4],
  ['the natural end', '', 0],
])('%s with messages that wait for such a name: all are in file', async (_name, way, status) => {
  const directory = makeDirectory()
  const script = `
    const { KafkaPublisher } = require(${ROOT})
    const kp = new KafkaPublisher({
      connectionString: 'broker.hung.test:9092',
      defaultTopic: 't',
      fallback: { directory: ${JSON.stringify(directory)} },
    })
    for (let i = 0; i < 1000; i++) kp.queue('key', { i })
    // So that librdkafka's threads are in the middle of it.
    setTimeout(() => { ${way} }, 200)
  `
  const child = spawn(process.execPath, ['-e', script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  expect(stderr).not.toMatch(/lost|discarded/)
  expect(numbersIn(directory)).toEqual(range(0, 1000))
  expect(code).toBe(status)
})

test('one broker of two has such a name: messages are published through the other', async () => {
  const cluster = new MockCluster({ brokers: 1 })
  try {
    cluster.createTopic('t', { partitions: 1 })
    const directory = makeDirectory()
    const connectionString = `broker.hung.test:9092,${cluster.connectionString}`
    const options = { connectionString, defaultTopic: 't', fallback: { directory } }
    const remote = await startRemote(options, { env })
    await remote.queue(0, 1000)
    await until(async () => (await remote.statistics()).sentCnt === 1000)
    expect(await remote.end()).toMatchObject({ discardedCnt: { total: 0 }, unaccountedCnt: 0 })
    const messages = await cluster.readTopic('t')
    expect(messages.map(({ value }) => JSON.parse(value).i)).toEqual(range(0, 1000))
  } finally {
    cluster.close()
  }
})
