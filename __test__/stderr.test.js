// Stderr of every kind that a process can be given: none ends it, holds it up, or costs a message.
//
// Takes long.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { STREAMS, start, openStream } = require('./hostile/process')
const { Faults } = require('./support/faults')
const { makeDirectory, endPublishers, readFallback } = require('./support/publisher')
const { until } = require('./support/until')

const ROOT = JSON.stringify(path.resolve(__dirname, '..'))

afterEach(endPublishers)
afterAll(() => Faults.removeAll())

const preamble = (directory, options = '') => `
  const { KafkaPublisher } = require(${ROOT})
  const kp = new KafkaPublisher({
    connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 },
    fallback: { directory: ${JSON.stringify(directory)} }, ${options}
  })
  kp.queue(null, {})
  for (let i = 0; i < 1000; i++) kp.queue('k', { i })
`

async function run(kind, body) {
  const directory = makeDirectory()
  const stream = openStream(kind, makeDirectory())
  const child = start(stream, ['-e', preamble(directory) + body])
  const [code, signal] = await once(child, 'close')
  stream.close()
  return { ended: signal ?? code, lines: readFallback(directory).map(({ value }) => value.i) }
}

const ALL = Array.from({ length: 1000 }, (_, i) => i)

describe.each(Object.keys(STREAMS))('%s', (kind) => {
  test.each([
    ['end()', 'kp.end()'],
    ['process.exit()', 'process.exit(0)'],
    ['nothing', ''],
  ])('ended by %s, nothing is lost', async (_name, body) => {
    expect(await run(kind, body)).toEqual({ ended: 0, lines: ALL })
  })
})

test('lines that a stalled stderr had no room for are counted in the next line that it takes', async () => {
  const stream = openStream('a stalled pipe', makeDirectory())
  // A warning each: more than the 256 KiB that wait for stderr.
  const body = `
    const options = { connectionString: '127.0.0.1:1' }
    for (let i = 0; i < 400; i++) options['unknown'.repeat(100) + i] = true
    new KafkaPublisher(options)
    process.send('logged')
    process.on('message', () => process.exit(0))
  `
  const child = spawn(process.execPath, ['-e', preamble(makeDirectory()) + body], {
    stdio: ['ignore', 'ignore', stream.stderr, 'ipc'],
  })
  await once(child, 'message')
  let text = ''
  await until(() => {
    text += stream.read()
    return /kafka-publisher:warn \d+ log lines could not be written\n/.test(text)
  })
  child.send('leave')
  await once(child, 'close')
  stream.close()
})

test.each([
  ['its own end', ''],
  ['process.exit()', 'process.exit(0)'],
])('what a logger can not be told any more, at %s, goes to stderr', async (_name, body) => {
  const directory = makeDirectory()
  const script = preamble(directory, 'logger: { logFunction() {} },') + body
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  child.stderr.on('data', (data) => {
    text += data
  })
  await once(child, 'close')
  expect(text).toContain('kafka-publisher:warn ended with 1000 messages in fallback files')
})

test('the same when a worker thread is terminated', async () => {
  const directory = makeDirectory()
  const script = `
    const { Worker } = require('node:worker_threads')
    const body = ${JSON.stringify(preamble(directory, 'logger: { logFunction() {} },'))}
    const worker = new Worker(body + "; require('node:worker_threads').parentPort.postMessage(1); setInterval(() => {}, 1000)", { eval: true })
    worker.once('message', () => worker.terminate())
  `
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  child.stderr.on('data', (data) => {
    text += data
  })
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  expect(text).toContain('ended with 1000 messages in fallback files')
  expect(fs.readdirSync(directory).some((name) => name.endsWith('.log'))).toBe(true)
})

test('all lines that were logged before end() resolves, the logger has got by then', async () => {
  const { KafkaPublisher } = require('..')
  for (let round = 0; round < 20; round++) {
    const lines = []
    const publisher = new KafkaPublisher({
      connectionString: '127.0.0.1:1',
      defaultTopic: 't',
      retries: { attempts: 1, delay: { min: 1, max: 1 } },
      logger: { logFunction: (_level, _id, text) => lines.push(text) },
      fallback: { directory: makeDirectory() },
    })
    publisher.queue(null, {})
    publisher.queue('k', {})
    await publisher.end()
    expect(lines.some((line) => line.startsWith('ended with 1 messages in'))).toBe(true)
    expect(lines.some((line) => line.startsWith('message discarded'))).toBe(true)
  }
})

test.each([
  ['an Error', "throw new Error('on purpose')"],
  ['an object without a prototype', 'throw Object.create(null)'],
  ['a symbol', "throw Symbol('on purpose')"],
  ['nothing', 'throw undefined'],
  [
    'an object whose message throws',
    "throw { get message() { throw new Error('in the getter') } }",
  ],
  ['a revoked proxy', 'const r = Proxy.revocable({}, {}); r.revoke(); throw r.proxy'],
])('a logger, a partitioner and a redirection that throw %s do no harm', async (_name, thrown) => {
  const directory = makeDirectory()
  const script = `
    const { KafkaPublisher } = require(${ROOT})
    const { MockCluster } = require(${JSON.stringify(path.resolve(__dirname, '..', 'testing.js'))})
    const cluster = new MockCluster({ brokers: 1 })
    const kp = new KafkaPublisher({
      connectionString: cluster.connectionString, defaultTopic: 't',
      fallback: { directory: ${JSON.stringify(directory)} },
      logger: { logFunction() { ${thrown} } },
      partitioner: { partition() { ${thrown} } },
      brokerRedirection() { ${thrown} },
    })
    kp.queue(null, {})
    kp.queue('k', {})
    kp.end().then(() => console.log(kp.getStatistics().sentCnt))
  `
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, errors] = ['', '']
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    errors += data
  })
  const [code, signal] = await once(child, 'close')
  expect([code, signal, out.trim()]).toEqual([0, null, '1'])
  expect(errors).toContain('the logger threw')
})

test.each([
  ['before 1970', -100, '1970-01-01T00:00:00.000Z'],
  ['after 9999', 9000, '9999-12-31T23:59:59.000Z'],
])('a clock that stands %s stamps the log with the nearest time', async (_name, years, stamp) => {
  const directory = makeDirectory()
  const faults = new Faults(directory)
  faults.setClock(years * 365.25 * 24 * 3_600_000)
  const child = spawn(process.execPath, ['-e', `${preamble(directory)}; kp.end()`], {
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, ...faults.env },
  })
  let text = ''
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  const [code, signal] = await once(child, 'close')
  expect(signal ?? code).toBe(0)
  expect(text).toContain(`${stamp} kafka-publisher:error message discarded`)
  expect(readFallback(directory).map(({ value }) => value.i)).toEqual(ALL)
})
