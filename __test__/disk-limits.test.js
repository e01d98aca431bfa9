// Directories that can't be measured, and disks that hang for ever, also while the publisher ends.
//
// Takes long.

const fs = require('node:fs')
const { Faults } = require('./support/faults')
const { endPublishers, fallbackFiles, makeDirectory, readFallback } = require('./support/publisher')
const { endRemotes, startRemote } = require('./support/remote')
const { unaccounted } = require('./support/replay')
const { until } = require('./support/until')

afterEach(endRemotes)
afterEach(endPublishers)
afterAll(() => Faults.removeAll())

const FOREVER = { forever: true, minTimeout: 20, maxTimeout: 100 }
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const numbersIn = (directory) => readFallback(directory).map(({ value }) => value.i)

/** A remote publisher without a Kafka: all that it is given goes to file. */
async function start(fallback) {
  const directory = makeDirectory()
  const faults = new Faults(directory)
  const options = {
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    batch: { maxWait: 0 },
    fallback: { directory, fsync: 'never', retryOptions: FOREVER, ...fallback },
  }
  return { directory, faults, remote: await startRemote(options, { env: faults.env }) }
}
const untilOnDisk = (remote, count) =>
  until(async () => (await remote.statistics()).fallback.messages === count)

describe('a directory with maxBytes that can not be listed', () => {
  // A directory is listed by a descriptor of its own.
  const LISTED = { suffix: '/.' }

  test('takes nothing until it can be measured, and loses nothing', async () => {
    const { directory, faults, remote } = await start({ maxBytes: 100_000 })
    faults.fail('open', 'EIO', LISTED)
    await remote.queue(0, 100)
    const last = await until(async () => {
      const { filePublisher, fallback } = await remote.statistics()
      return filePublisher.errorCnt >= 3 && { ...filePublisher, ...fallback }
    })
    expect(last).toMatchObject({ lastError: expect.stringMatching(/cannot measure/), messages: 0 })
    expect(fallbackFiles(directory)).toEqual([])
    faults.heal('open')
    await untilOnDisk(remote, 100)
    expect(numbersIn(directory)).toEqual(range(0, 100))
    expect(await remote.end()).toMatchObject({ discardedCnt: { total: 0 }, unaccountedCnt: 0 })
  })

  test('counts as full as what was written to it since', async () => {
    const { directory, faults, remote } = await start({ maxBytes: 20_000 })
    await remote.queue(0, 100)
    await untilOnDisk(remote, 100)
    faults.fail('open', 'EIO', LISTED)
    let queued = 100
    await until(async () => {
      await remote.queue(queued, queued + 100)
      queued += 100
      const { discardedCnt } = await remote.statistics()
      return discardedCnt.fallbackFull > 0 && faults.hits('open') > 0
    })
    const statistics = await remote.end()
    const [file] = fallbackFiles(directory)
    expect(fs.statSync(file).size).toBeLessThanOrEqual(20_000)
    const kept = numbersIn(directory)
    expect(kept).toEqual(range(0, kept.length))
    expect(statistics).toMatchObject({
      discardedCnt: { fallbackFull: queued - kept.length },
      unaccountedCnt: 0,
    })
  })
})

test.each([
  ['write', 'never'],
  ['sync', 'always'],
])('end() does not wait for ever for a disk that hangs (%s)', async (kind, fsync) => {
  const { directory, faults, remote } = await start({ fsync })
  await remote.queue(0, 100)
  await untilOnDisk(remote, 100)
  faults.hang(kind, { suffix: '.log' })
  await remote.queue(100, 200)
  await until(() => faults.hits(kind) > 0)
  const statistics = await remote.run(async ({ publisher }) => {
    await publisher.end()
    return publisher.getStatistics()
  })
  expect(statistics).toMatchObject({
    discardedCnt: { fallbackFailed: 100, total: 100 },
    fallback: { messages: 100 },
  })
  expect(unaccounted(statistics)).toBe(0)
  // The disk comes back: what is written after all changes no count.
  faults.heal(kind)
  await until(() => fs.readFileSync(fallbackFiles(directory)[0], 'utf8').includes('"i":199}'))
  expect((await remote.end()).fallback.messages).toBe(100)
})
