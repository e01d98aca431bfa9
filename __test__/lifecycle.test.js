// The event loop, the process and the publisher's end: nothing hangs, nothing that can be written is
// lost. Each case is a process of its own.

const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const readline = require('node:readline')
const { promisify } = require('node:util')
const { startClock } = require('./support/delays')
const { makeDirectory, makePublisher, endPublishers, readFallback } = require('./support/publisher')
const { until } = require('./support/until')

const run = promisify(execFile)

// A broker that accepts connections and never answers.
const silentBroker = net.createServer((socket) => socket.resume())
beforeAll(async () => {
  silentBroker.listen(0, '127.0.0.1')
  await once(silentBroker, 'listening')
})
afterAll(() => silentBroker.close())
afterEach(endPublishers)

const silent = () => `127.0.0.1:${silentBroker.address().port}`

/** Runs `body` with `kp`, a publisher without a reachable Kafka. Its output and exit code. */
async function inProcess(body, { connectionString = '127.0.0.1:1', options = '' } = {}) {
  const directory = makeDirectory()
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const kp = new KafkaPublisher({
      connectionString: ${JSON.stringify(connectionString)}, defaultTopic: 't',
      fallback: { directory: ${JSON.stringify(directory)} }, logger: { logLevel: 0 }, ${options}
    })
    ${body}
  `
  const clock = startClock()
  const result = await run(process.execPath, ['-e', script]).catch((error) => error)
  clock.stop()
  return {
    code: result.code ?? 0,
    signal: result.signal ?? null,
    stdout: result.stdout.trim(),
    ms: clock.now(),
    lines: readFallback(directory),
  }
}

const QUEUE_1000 = "for (let i = 0; i < 1000; i++) kp.queue('k', { i });"
const ALL = Array.from({ length: 1000 }, (_, i) => i)
const numbers = ({ lines }) => lines.map(({ value }) => value.i)

test('an idle publisher does not keep the process alive', async () => {
  const { code, stdout } = await inProcess("console.log('made')")
  expect([code, stdout]).toEqual([0, 'made'])
})

test('the process ends by itself after end()', async () => {
  const { code, stdout } = await inProcess("kp.end().then(() => console.log('ended'))")
  expect([code, stdout]).toEqual([0, 'ended'])
})

test('a process that forgets end() waits for its messages, and loses none', async () => {
  const result = await inProcess(QUEUE_1000)
  expect(result.code).toBe(0)
  expect(numbers(result)).toEqual(ALL)
})

test.each([
  ['process.exit()', 'process.exit(3)', 3],
  ['an uncaught exception', "throw new Error('oops')", 1],
  ['an unhandled rejection', "Promise.reject(new Error('oops'))", 1],
  [
    'a handler of SIGTERM',
    "process.on('SIGTERM', () => process.exit(4)); process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 60_000)",
    4,
  ],
])('%s loses nothing', async (_, end, code) => {
  const result = await inProcess(`${QUEUE_1000} ${end}`)
  expect(result.code).toBe(code)
  expect(numbers(result)).toEqual(ALL)
})

test('process.exit() with a broker that never answers is held up briefly, and loses nothing', async () => {
  const result = await inProcess(`${QUEUE_1000} process.exit(0)`, { connectionString: silent() })
  expect(numbers(result)).toEqual(ALL)
  expect(result.ms).toBeLessThan(5000)
})

test('a terminated worker thread loses nothing', async () => {
  const result = await inProcess(`
    const { Worker } = require('node:worker_threads')
    const options = { connectionString: '127.0.0.1:1', defaultTopic: 't', fallback: { directory: kp.getStatistics().fallback.directory }, logger: { logLevel: 0 } }
    const worker = new Worker(\`
      const { workerData, parentPort } = require('node:worker_threads')
      const { KafkaPublisher } = require(workerData.addon)
      const kp = new KafkaPublisher(workerData.options)
      for (let i = 0; i < 1000; i++) kp.queue('k', { i })
      parentPort.postMessage('queued')
      setInterval(() => {}, 1000)
    \`, { eval: true, workerData: { options, addon: ${JSON.stringify(path.resolve(__dirname, '..'))} } })
    worker.once('message', () => worker.terminate().then(() => console.log('terminated')))
  `)
  expect(result.stdout).toBe('terminated')
  expect(numbers(result)).toEqual(ALL)
})

test('a pending init() keeps the process alive; end() settles it', async () => {
  const { code, stdout } = await inProcess(`
    let settled = false
    kp.init().then(() => { settled = true; console.log('init settled') })
    // Alone, an unreferenced timer would not keep the process alive until it fires.
    setTimeout(() => { console.log('still pending: ' + !settled); kp.end() }, 1500).unref()
  `)
  expect(code).toBe(0)
  expect(stdout.split('\n')).toEqual(['still pending: true', 'init settled'])
})

test('init() rejects when retryOptions.retries are used up, and publishing goes on', async () => {
  const { stdout, lines } = await inProcess(
    `kp.init().catch((error) => { console.log(error.message); kp.queue('k', {}); kp.end() })`,
    { options: 'retryOptions: { retries: 1, minTimeout: 10, maxTimeout: 20 }' }
  )
  expect(stdout).toMatch(/^Kafka did not answer within retryOptions.retries/)
  expect(lines).toHaveLength(1)
})

test('init() while end() is under way settles, and the process ends', async () => {
  const { code, stdout } = await inProcess(
    "kp.queue('k', {}); kp.end(); kp.init().then(() => console.log('init settled'))"
  )
  expect([code, stdout]).toEqual([0, 'init settled'])
})

test('end() does not wait out the delays of fallback.retryOptions', async () => {
  const blocked = path.join(makeDirectory(), 'blocked')
  fs.writeFileSync(blocked, '')
  const publisher = makePublisher({
    connectionString: '127.0.0.1:1',
    retries: { attempts: 1 },
    fallback: {
      directory: path.join(blocked, 'below'),
      retryOptions: { forever: true, minTimeout: 600_000, maxTimeout: 600_000 },
    },
  })
  publisher.queue('k', {}, 't')
  await until(() => publisher.getStatistics().filePublisher.errorCnt > 0)
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({
    discardedCnt: { fallbackFailed: 1 },
    unaccountedCnt: 0,
  })
})

test('end() resolves each time it is called', async () => {
  const publisher = makePublisher({ connectionString: '127.0.0.1:1', retries: { attempts: 1 } })
  publisher.queue('k', {}, 't')
  await Promise.all([publisher.end(), publisher.end()])
  await publisher.end()
  await publisher.init()
  await publisher.drained()
  expect(publisher.getStatistics()).toMatchObject({ state: 'ended', fallback: { messages: 1 } })
})

test('end() waits for Kafka no longer than the retry window', async () => {
  const publisher = makePublisher({ connectionString: silent(), defaultTopic: 't' })
  publisher.queue('k', {})
  const clock = startClock()
  await publisher.end()
  clock.stop()
  expect(clock.now()).toBeLessThan(5000)
  expect(readFallback(publisher.directory)).toHaveLength(1)
})

test('a publisher that was collected as garbage has lost nothing', async () => {
  const directory = makeDirectory()
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    ;(function () {
      const kp = new KafkaPublisher({
        connectionString: '127.0.0.1:1', defaultTopic: 't', logger: { logLevel: 0 },
        fallback: { directory: ${JSON.stringify(directory)} },
      })
      for (let i = 0; i < 1000; i++) kp.queue('k', { i })
    })()
    const collect = setInterval(() => global.gc(), 20)
    setTimeout(() => clearInterval(collect), 300)
  `
  const child = spawn(process.execPath, ['--expose-gc', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  readline.createInterface(child.stdout).on('line', () => {})
  const [code] = await once(child, 'exit')
  expect(code).toBe(0)
  expect(readFallback(directory).map(({ value }) => value.i)).toEqual(ALL)
})
