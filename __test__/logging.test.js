// Log lines go to the user's logger, or to stderr as the debug package has it; storms are one line.

const path = require('node:path')
const { execFile } = require('node:child_process')
const { promisify } = require('node:util')
const { KafkaPublisher } = require('..')
const { makeDirectory, endPublishers } = require('./support/publisher')
const { until } = require('./support/until')

const run = promisify(execFile)
const publishers = []

afterEach(async () => {
  await Promise.all(publishers.splice(0).map((publisher) => publisher.end()))
  await endPublishers()
})

function make(options) {
  const publisher = new KafkaPublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    fallback: { directory: makeDirectory() },
    ...options,
  })
  publishers.push(publisher)
  return publisher
}

test('logFunction gets the level, the clientId and the text', async () => {
  const calls = []
  const publisher = make({ clientId: 'me', logger: { logFunction: (...args) => calls.push(args) } })
  publisher.queue(null, {})
  await until(() => calls.some(([level]) => level === 'ERROR'))
  const [level, clientId, text] = calls.find((call) => call[0] === 'ERROR')
  expect([level, clientId]).toEqual(['ERROR', 'me'])
  expect(text).toBe(
    'message discarded: the key must be a string, a number or an object (it is null)'
  )
})

test.each([
  [0, []],
  [1, ['ERROR']],
  [2, ['ERROR', 'WARN']],
])('logLevel %i lets through %j', async (logLevel, levels) => {
  const seen = new Set()
  const publisher = make({ logger: { logLevel, logFunction: (level) => seen.add(level) } })
  publisher.queue(null, {})
  publisher.queue('k', {})
  await until(() => publisher.getStatistics().fallback.messages === 1)
  await publisher.end()
  // A line that is on its way was sent before this macrotask.
  await new Promise(setImmediate)
  expect([...seen].sort()).toEqual(levels)
})

test('a logger object gets each line at its method, with its receiver', async () => {
  class Logger {
    lines = []
    error(text) {
      this.lines.push(`error ${text}`)
    }
    warn(text) {
      this.lines.push(`warn ${text}`)
    }
    info() {}
    debug() {}
  }
  const logger = new Logger()
  const publisher = make({ logger })
  publisher.queue(undefined, {})
  publisher.queue('k', {})
  await until(() => logger.lines.some((line) => line.startsWith('error message discarded')))
  await until(() => logger.lines.some((line) => line.startsWith('warn Kafka does not answer')))
})

test('a logger that throws does no harm', async () => {
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const kp = new KafkaPublisher({
      connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 },
      fallback: { directory: ${JSON.stringify(makeDirectory())} },
      logger: { logFunction() { throw new Error('logger is broken') } },
    })
    kp.queue(null, {})
    kp.queue('k', {})
    setTimeout(() => kp.end().then(() => console.log(JSON.stringify(kp.getStatistics().fallback.messages))), 100)
  `
  const { stdout, stderr } = await run(process.execPath, ['-e', script])
  expect(stdout.trim()).toBe('1')
  expect(stderr).toContain('the logger threw: logger is broken')
  expect(stderr).toContain('kafka-publisher:error message discarded')
})

test('a storm of one error is one line, and one that says how many were like it', async () => {
  const lines = []
  const publisher = make({ logger: { logFunction: (_level, _id, text) => lines.push(text) } })
  for (let i = 0; i < 100_000; i++) publisher.queue(null, {})
  await publisher.end()
  const storm = () => lines.filter((text) => text.startsWith('message discarded'))
  await until(() => storm().length === 2)
  expect(storm()[1]).toBe(`${storm()[0]} (99999 like it were not shown)`)
  expect(publisher.getStatistics().discardedCnt.badKey).toBe(100_000)
})

test('what is discarded after end() is told at the end of the process', async () => {
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const kp = new KafkaPublisher({
      connectionString: '127.0.0.1:1', defaultTopic: 't',
      fallback: { directory: ${JSON.stringify(makeDirectory())} },
    })
    kp.end().then(() => { for (let i = 0; i < 1000; i++) kp.queue('k', {}) })
  `
  const { stderr } = await run(process.execPath, ['-e', script])
  const lines = stderr.split('\n').filter((line) => line.includes('message discarded'))
  expect(lines).toHaveLength(2)
  expect(lines[1]).toContain('(999 like it were not shown)')
})

test.each([
  ['', false],
  ['kafka-publisher:*', true],
  ['other:*', false],
])('by default errors and warnings go to stderr, the rest under DEBUG=%s', async (DEBUG, shown) => {
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const kp = new KafkaPublisher({
      connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 },
      fallback: { directory: ${JSON.stringify(makeDirectory())} },
    })
    kp.queue(null, {})
    kp.queue('k', {})
    kp.end()
  `
  const { stdout, stderr } = await run(process.execPath, ['-e', script], {
    env: { ...process.env, DEBUG },
  })
  expect(stdout).toBe('')
  expect(stderr).toMatch(
    /^\d{4}-\d\d-\d\dT[\d:.]+Z kafka-publisher:error message discarded: the key must be/m
  )
  expect(stderr.includes('kafka-publisher:debug')).toBe(shown)
})

test('secrets are in no log line, error or statistic', async () => {
  const lines = []
  const publisher = make({
    logger: { logFunction: (_level, _id, text) => lines.push(text) },
    producer: {
      'security.protocol': 'SASL_PLAINTEXT',
      'sasl.mechanisms': 'PLAIN',
      'sasl.username': 'user',
      'sasl.password': 'gehe1m-und-lang',
      debug: 'all',
    },
  })
  publisher.queue('k', {})
  await until(() => publisher.getStatistics().fallback.messages === 1)
  await publisher.end()
  expect(lines.length).toBeGreaterThan(10)
  expect(lines.join('\n') + JSON.stringify(publisher.getStatistics())).not.toContain(
    'gehe1m-und-lang'
  )
})
