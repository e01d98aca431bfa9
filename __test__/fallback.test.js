// The fallback files: what is in them, who may read them, when a new one begins, and what becomes of
// messages when the disk does not take them.

const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { promisify } = require('node:util')
const {
  makePublisher,
  makeDirectory,
  endPublishers,
  fallbackFiles,
  readFallback,
} = require('./support/publisher')
const { until } = require('./support/until')

const run = promisify(execFile)

afterEach(endPublishers)

const make = (fallback, options) =>
  makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    batch: { maxWait: 0 },
    fallback,
    ...options,
  })

const onDisk = (publisher) => publisher.getStatistics().fallback.messages
const numbers = (publisher) => readFallback(publisher.directory).map(({ value }) => value.i)
const queueNumbers = (publisher, from, to) => {
  for (let i = from; i < to; i++) publisher.queue('k', { i })
}
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

test('directory and file are made when they are needed, for their owner only', async () => {
  const directory = path.join(makeDirectory(), 'not', 'there', 'yet')
  const publisher = make({ directory })
  expect(fs.existsSync(directory)).toBe(false)
  publisher.queue('k', {})
  await publisher.end()
  const [file] = fallbackFiles(directory)
  expect(fs.statSync(directory).mode & 0o777).toBe(0o700)
  expect(fs.statSync(file).mode & 0o777).toBe(0o600)
})

test('modes are options', async () => {
  const directory = path.join(makeDirectory(), 'shared')
  const publisher = make({ directory, directoryMode: 0o750, fileMode: 0o640 })
  publisher.queue('k', {})
  await publisher.end()
  expect(fs.statSync(directory).mode & 0o777).toBe(0o750)
  expect(fs.statSync(fallbackFiles(directory)[0]).mode & 0o777).toBe(0o640)
})

test('nothing is made when nothing falls back', async () => {
  const directory = path.join(makeDirectory(), 'unused')
  const publisher = make({ directory })
  await publisher.end()
  expect(fs.existsSync(directory)).toBe(false)
})

test.each(['never', 'interval', 'always'])(
  'fsync %s writes every message, in order',
  async (fsync) => {
    const publisher = make({ fsync })
    queueNumbers(publisher, 0, 5000)
    await publisher.end()
    expect(numbers(publisher)).toEqual(range(0, 5000))
  }
)

test('a new file begins before the old one grows past segmentBytes', async () => {
  const publisher = make({ segmentBytes: 200_000 })
  for (let i = 0; i < 20; i++) {
    queueNumbers(publisher, i * 1000, (i + 1) * 1000)
    await until(() => onDisk(publisher) === (i + 1) * 1000)
  }
  await publisher.end()
  const files = fallbackFiles(publisher.directory)
  expect(files.length).toBeGreaterThan(5)
  for (const file of files) expect(fs.statSync(file).size).toBeLessThanOrEqual(200_000)
  expect(numbers(publisher)).toEqual(range(0, 20_000))
  const bytes = files.reduce((sum, file) => sum + fs.statSync(file).size, 0)
  expect(publisher.getStatistics().fallback).toMatchObject({
    files: files.length,
    messages: 20_000,
    bytes,
  })
})

test('no file grows past segmentBytes by what was written at once', async () => {
  const publisher = make({ segmentBytes: 2000 })
  queueNumbers(publisher, 0, 1000)
  await publisher.end()
  const sizes = fallbackFiles(publisher.directory).map((file) => fs.statSync(file).size)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2000)
  expect(numbers(publisher)).toEqual(range(0, 1000))
})

test('two publishers share a directory, each with files of its own', async () => {
  const directory = makeDirectory()
  const publishers = [make({ directory }), make({ directory })]
  for (const publisher of publishers) queueNumbers(publisher, 0, 100)
  await Promise.all(publishers.map((publisher) => publisher.end()))
  const files = fallbackFiles(directory)
  expect(files).toHaveLength(2)
  for (const file of files) {
    const lines = fs.readFileSync(file, 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).value.i)).toEqual(range(0, 100))
  }
})

test('a directory that can not be made: tried again, logged, counted, discarded', async () => {
  const blocked = path.join(makeDirectory(), 'a-file')
  fs.writeFileSync(blocked, '')
  const retryOptions = { retries: 2, minTimeout: 10, maxTimeout: 20 }
  const publisher = make({ directory: path.join(blocked, 'below'), retryOptions })
  queueNumbers(publisher, 0, 10)
  await publisher.end()
  const { discardedCnt, filePublisher, unaccountedCnt, queueCnt } = publisher.getStatistics()
  expect({
    discarded: discardedCnt.fallbackFailed,
    total: discardedCnt.total,
    queueCnt,
    unaccountedCnt,
  }).toEqual({
    discarded: 10,
    total: 10,
    queueCnt: 10,
    unaccountedCnt: 0,
  })
  expect(filePublisher.errorCnt).toBeGreaterThanOrEqual(3)
  expect(filePublisher.lastError).toMatch(/cannot use .*Not a directory/)
  await until(() =>
    publisher.lines.some(
      ({ level, text }) => level === 'ERROR' && text.includes('messages discarded')
    )
  )
})

test('writing resumes by itself when the disk takes lines again', async () => {
  const blocked = path.join(makeDirectory(), 'blocked')
  fs.writeFileSync(blocked, '')
  const directory = path.join(blocked, 'below')
  const publisher = make({
    directory,
    retryOptions: { forever: true, minTimeout: 10, maxTimeout: 50 },
  })
  queueNumbers(publisher, 0, 100)
  await until(() => publisher.getStatistics().filePublisher.errorCnt >= 2)
  expect(onDisk(publisher)).toBe(0)
  fs.rmSync(blocked)
  await until(() => onDisk(publisher) === 100)
  await publisher.end()
  expect(numbers(publisher)).toEqual(range(0, 100))
  expect(publisher.getStatistics().discardedCnt.total).toBe(0)
})

test('a file that was removed takes its messages with it, counted; the next go to a new file', async () => {
  const publisher = make({})
  queueNumbers(publisher, 0, 10)
  await until(() => onDisk(publisher) === 10)
  fs.rmSync(publisher.directory, { recursive: true })
  queueNumbers(publisher, 10, 15)
  await until(() => onDisk(publisher) === 5)
  await publisher.end()
  expect(numbers(publisher)).toEqual(range(10, 15))
  expect(publisher.getStatistics()).toMatchObject({
    discardedCnt: { fileRemoved: 10 },
    unaccountedCnt: 0,
  })
})

test('a write that comes out short leaves whole lines only, and goes on in a new file', async () => {
  // The limit cuts a write short, as a full disk does. 64 KiB a file.
  const directory = makeDirectory()
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(path.resolve(__dirname, '..'))})
    const kp = new KafkaPublisher({
      connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 }, batch: { maxWait: 0 },
      fallback: { directory: ${JSON.stringify(directory)}, retryOptions: { retries: 3, minTimeout: 1, maxTimeout: 5 } },
      logger: { logLevel: 0 },
    })
    let i = 0
    function some() {
      // Batches that are smaller than the limit, and do not divide it.
      for (let k = 0; k < 70; k++) kp.queue('k', { i: i++, text: 'x'.repeat(300) })
      const all = i
      const wait = () => {
        if (kp.queued() > 0) return setImmediate(wait)
        if (all < 7000) return some()
        kp.end().then(() => console.log(JSON.stringify(kp.getStatistics())))
      }
      wait()
    }
    some()
  `
  const { stdout } = await run('bash', [
    '-c',
    'trap "" XFSZ; ulimit -f 64; exec "$0" -e "$1"',
    process.execPath,
    script,
  ])
  const statistics = JSON.parse(stdout)
  const files = fallbackFiles(directory)
  expect(files.length).toBeGreaterThan(10)
  for (const file of files) {
    const text = fs.readFileSync(file, 'utf8')
    expect(text.endsWith('}\n')).toBe(true)
    for (const line of text.trimEnd().split('\n')) JSON.parse(line)
  }
  expect(readFallback(directory).map(({ value }) => value.i)).toEqual(range(0, 7000))
  expect(statistics.filePublisher.errorCnt).toBeGreaterThan(10)
  expect(statistics).toMatchObject({
    discardedCnt: { total: 0 },
    fallback: { messages: 7000 },
    unaccountedCnt: 0,
  })
})
