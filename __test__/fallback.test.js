// The fallback files: what is in them, who may read them, when a new one begins, and what becomes of
// messages when the disk does not take them.

const fs = require('node:fs')
const path = require('node:path')
const {
  makePublisher,
  makeDirectory,
  endPublishers,
  fallbackFiles,
  readFallback,
} = require('./support/publisher')
const { until } = require('./support/until')

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
  expect(filePublisher.lastError).toMatch(/cannot create .*Not a directory/)
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
