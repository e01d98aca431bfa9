// What a disk can do to the writer of fallback files, and that it goes on by itself afterwards. The
// publisher is in a process of its own, on a disk of its own where the machine lets us make one.
//
// Takes long.

const fs = require('node:fs')
const { Faults } = require('./support/faults')
const { makeDirectory, endPublishers, fallbackFiles } = require('./support/publisher')
const { endRemotes, startRemote } = require('./support/remote')
const { coreShare, limitFiles, modesPrefix, mountPrefix } = require('./support/spoil')
const { until } = require('./support/until')

afterEach(endRemotes)
afterEach(endPublishers)
afterAll(() => Faults.removeAll())

const FOREVER = { forever: true, minTimeout: 20, maxTimeout: 100 }
const MOUNT = mountPrefix()
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

/** A remote publisher without a Kafka: all that it is given goes to file. */
function start(directory, fallback, how) {
  const options = {
    connectionString: '127.0.0.1:1',
    defaultTopic: 't',
    retries: { attempts: 1 },
    batch: { maxWait: 0 },
    fallback: { directory, fsync: 'never', retryOptions: FOREVER, ...fallback },
  }
  return startRemote(options, how)
}

/** Waits until the statistics are so, and returns them. */
function untilStatistics(remote, condition, what) {
  let last
  return until(
    async () => {
      last = await remote.statistics()
      return condition(last) && last
    },
    { what: () => `${what}; ${JSON.stringify(last)}` }
  )
}
const untilOnDisk = (remote, count) =>
  untilStatistics(remote, ({ fallback }) => fallback.messages >= count, `${count} on disk`)
const untilErrors = (remote, count = 3) =>
  untilStatistics(remote, ({ filePublisher }) => filePublisher.errorCnt >= count, 'errors')

/** The texts of all fallback files as the other process sees them, which may have mounts of its own. */
const readFiles = (remote, directory) =>
  remote.run(({ require }, from) => {
    const fs = require('node:fs')
    const names = fs.readdirSync(from).filter((name) => name.endsWith('.log'))
    return names.sort().map((name) => fs.readFileSync(`${from}/${name}`, 'utf8'))
  }, directory)

/** The numbers in the lines; every line has to be whole, but the last of a file where that is said. */
function numbersOf(texts, { tornEnds = false } = {}) {
  return texts.flatMap((text) => {
    const lines = text.split('\n')
    const last = lines.pop()
    if (!tornEnds) expect(last).toBe('')
    return lines.map((line) => JSON.parse(line).value.i)
  })
}

const untilLogged = (remote, level, part) =>
  until(async () => {
    const lines = await remote.lines()
    return lines.some((line) => line.level === level && line.text.includes(part))
  })

/** A disk of 1 MiB, which `fill` leaves little room on. */
async function smallDisk(fallback) {
  const directory = makeDirectory()
  if (!MOUNT) {
    const faults = new Faults(directory)
    const remote = await start(directory, fallback, { env: faults.env })
    const fill = async () => faults.fail('write', 'ENOSPC', { suffix: '.log', half: true })
    return { remote, directory, fill, free: async () => faults.heal('write') }
  }
  const remote = await start(directory, fallback, { prefix: MOUNT })
  await remote.run(({ require }, at) => {
    const { execFileSync } = require('node:child_process')
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at])
  }, directory)
  const ballast = `${directory}/ballast`
  return {
    remote,
    directory,
    fill: () =>
      remote.run(({ require }, at) => {
        require('node:fs').writeFileSync(at, Buffer.alloc(900 << 10))
      }, ballast),
    free: () => remote.run(({ require }, at) => require('node:fs').rmSync(at), ballast),
  }
}

describe('the disk is full', () => {
  test('messages wait for room when they may, and none is lost or torn', async () => {
    const { remote, directory, fill, free } = await smallDisk()
    await remote.queue(0, 100)
    await untilOnDisk(remote, 100)
    await fill()
    await remote.queue(100, 8000)
    const { filePublisher } = await untilErrors(remote)
    expect(filePublisher.lastError).toMatch(/No space left/)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    await free()
    await untilOnDisk(remote, 8000)
    expect(numbersOf(await readFiles(remote, directory))).toEqual(range(0, 8000))
    expect(await remote.end()).toMatchObject({
      discardedCnt: { total: 0 },
      fallback: { messages: 8000 },
      unaccountedCnt: 0,
    })
  })

  test('what fits of a batch is kept', async () => {
    const retryOptions = { retries: 1, minTimeout: 20, maxTimeout: 50 }
    const { remote, directory, fill, free } = await smallDisk({ retryOptions })
    await fill()
    await remote.queue(0, 20_000)
    await until(async () => (await remote.statistics()).curQueuedCnt === 0)
    await free()
    const numbers = numbersOf(await readFiles(remote, directory))
    expect(numbers.length).toBeGreaterThan(100)
    expect(numbers.slice(0, 100)).toEqual(range(0, 100))
    expect(await remote.end()).toMatchObject({
      discardedCnt: { fallbackFailed: 20_000 - numbers.length },
      fallback: { messages: numbers.length },
      unaccountedCnt: 0,
    })
  })

  test('what had to be discarded is counted and logged, and writing goes on by itself', async () => {
    const retryOptions = { retries: 2, minTimeout: 20, maxTimeout: 50 }
    const { remote, directory, fill, free } = await smallDisk({ retryOptions })
    await remote.queue(0, 100)
    await untilOnDisk(remote, 100)
    await fill()
    // As a service does, little by little, also while there is no room.
    for (let i = 100; i < 20_000; i += 100) await remote.queue(i, i + 100)
    await untilStatistics(remote, ({ discardedCnt }) => discardedCnt.fallbackFailed > 0, 'discards')
    expect(await coreShare(remote)).toBeLessThan(0.5)
    await until(async () => (await remote.statistics()).curQueuedCnt === 0)
    await free()
    const before = await remote.statistics()
    await remote.queue(20_000, 20_100)
    await untilOnDisk(remote, before.fallback.messages + 100)

    const numbers = numbersOf(await readFiles(remote, directory))
    await untilLogged(remote, 'ERROR', 'messages discarded')
    await untilLogged(remote, 'INFO', 'can be written again')
    const statistics = await remote.end()
    expect(numbers.slice(-100)).toEqual(range(20_000, 20_100))
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
    expect(statistics).toMatchObject({
      queueCnt: 20_100,
      discardedCnt: { fallbackFailed: 20_100 - numbers.length, total: 20_100 - numbers.length },
      fallback: { messages: numbers.length },
      unaccountedCnt: 0,
    })
  })
})

/** A directory that goes away with all that is in it, and comes back so. */
async function looseDisk() {
  const directory = makeDirectory()
  if (!MOUNT) {
    const remote = await start(directory)
    const away = `${directory}/../${directory.split('/').pop()}.away`
    const unmount = async () => {
      fs.renameSync(directory, away)
      fs.mkdirSync(directory)
    }
    const mount = async () => {
      fs.rmSync(directory, { recursive: true })
      fs.renameSync(away, directory)
    }
    return { remote, directory, unmount, mount }
  }
  const remote = await start(directory, {}, { prefix: MOUNT })
  const kept = makeDirectory()
  const shell = (command) =>
    remote.run(({ require }, text) => {
      require('node:child_process').execFileSync('sh', ['-c', text])
    }, command)
  await shell(`mount -t tmpfs tmpfs ${kept} && mount --bind ${kept} ${directory}`)
  return {
    remote,
    directory,
    unmount: () => shell(`umount -l ${directory}`),
    mount: () => shell(`mount --bind ${kept} ${directory}`),
  }
}

test('the disk is unmounted and mounted again: what went with it is counted, the rest is written', async () => {
  const { remote, directory, unmount, mount } = await looseDisk()
  const written = (count) =>
    untilStatistics(remote, ({ filePublisher }) => filePublisher.mesgCnt === count, 'written')
  await remote.queue(0, 100)
  await written(100)
  await unmount()
  await remote.queue(100, 200)
  await written(200)
  expect(numbersOf(await readFiles(remote, directory))).toEqual(range(100, 200))
  await mount()
  await remote.queue(200, 300)
  await written(300)
  expect(numbersOf(await readFiles(remote, directory))).toEqual([
    ...range(0, 100),
    ...range(200, 300),
  ])
  // Whoever comes next finds what came back with the disk.
  const found = await remote.run(async ({ publisher, require, addon }, from) => {
    await publisher.end()
    const { KafkaPublisher } = require(addon)
    const { MockCluster } = require(`${addon}/testing`)
    const cluster = new MockCluster({ brokers: 1 })
    cluster.createTopic('t', { partitions: 1 })
    const next = new KafkaPublisher({
      connectionString: cluster.connectionString,
      logger: { logLevel: 0 },
      fallback: { directory: from },
    })
    next.init().catch(() => {})
    while (next.getStatistics().recoveredCnt < 200) await new Promise(setImmediate)
    const { recoveredCnt, unaccountedCnt } = next.getStatistics()
    await next.end()
    cluster.close()
    return { recoveredCnt, unaccountedCnt }
  }, directory)
  expect(found).toEqual({ recoveredCnt: 200, unaccountedCnt: 0 })
  expect(await remote.end()).toMatchObject({
    discardedCnt: { total: 0 },
    handedOverCnt: 200,
    fallback: { messages: 100 },
    unaccountedCnt: 0,
  })
})

test('the directory becomes read-only: no new file, until it may be made', async () => {
  const directory = makeDirectory()
  const prefix = modesPrefix()
  const faults = prefix ? undefined : new Faults(directory)
  const remote = await start(
    directory,
    { segmentBytes: 4000 },
    { prefix: prefix ?? [], env: faults?.env }
  )
  await remote.queue(0, 100)
  await untilOnDisk(remote, 100)
  if (prefix) fs.chmodSync(directory, 0o500)
  else faults.fail('open', 'EACCES', { suffix: '.log' })
  await remote.queue(100, 200)
  const { filePublisher } = await untilErrors(remote)
  expect(filePublisher.lastError).toMatch(/cannot create .*Permission denied/)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  if (prefix) fs.chmodSync(directory, 0o700)
  else faults.heal('open')
  await untilOnDisk(remote, 200)
  expect(numbersOf(await readFiles(remote, directory))).toEqual(range(0, 200))
  expect(await remote.end()).toMatchObject({ discardedCnt: { total: 0 }, unaccountedCnt: 0 })
})

test('too many open files: messages wait for a file that can be opened', async () => {
  const directory = makeDirectory()
  const remote = await start(directory)
  const pid = await remote.run(() => process.pid)
  // Below what is open now: also a descriptor that the publisher itself gives back is none to be had.
  limitFiles(pid, 3)
  await remote.queue(0, 100)
  const { filePublisher } = await untilErrors(remote)
  expect(filePublisher.lastError).toMatch(/Too many open files/)
  expect(await coreShare(remote)).toBeLessThan(0.5)
  limitFiles(pid, 1024)
  await untilOnDisk(remote, 100)
  expect(numbersOf(await readFiles(remote, directory))).toEqual(range(0, 100))
  expect(await remote.end()).toMatchObject({ discardedCnt: { total: 0 }, unaccountedCnt: 0 })
})

describe('EIO', () => {
  async function startFaulty(fallback) {
    const directory = makeDirectory()
    const faults = new Faults(directory)
    const remote = await start(directory, fallback, { env: faults.env })
    await remote.queue(0, 100)
    await untilOnDisk(remote, 100)
    return { directory, faults, remote }
  }

  test('on write: half a line is cut off again, and what failed is written when it can be', async () => {
    const { directory, faults, remote } = await startFaulty()
    faults.fail('write', 'EIO', { suffix: '.log', half: true })
    await remote.queue(100, 200)
    const { filePublisher } = await untilErrors(remote)
    expect(filePublisher.lastError).toMatch(/Input\/output error/)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    const kept = numbersOf(await readFiles(remote, directory))
    expect(kept).toEqual(range(0, kept.length))
    faults.heal('write')
    await untilOnDisk(remote, 200)
    expect(numbersOf(await readFiles(remote, directory))).toEqual(range(0, 200))
    expect(await remote.end()).toMatchObject({
      discardedCnt: { total: 0 },
      fallback: { messages: 200 },
      unaccountedCnt: 0,
    })
  })

  test('on write and on cutting it off: a torn line is the last one of its file', async () => {
    const { directory, faults, remote } = await startFaulty()
    faults.fail('truncate', 'EIO', { suffix: '.log' })
    faults.fail('write', 'EIO', { suffix: '.log', half: true })
    await remote.queue(100, 201)
    await untilErrors(remote)
    expect(await coreShare(remote)).toBeLessThan(0.5)
    faults.heal('write')
    faults.heal('truncate')
    await until(async () => (await remote.statistics()).curQueuedCnt === 0)
    await remote.queue(201, 300)
    await until(async () => (await remote.statistics()).curQueuedCnt === 0)
    const statistics = await remote.end()
    const texts = fallbackFiles(directory).map((file) => fs.readFileSync(file, 'utf8'))
    expect(texts.filter((text) => !text.endsWith('\n')).length).toBeGreaterThan(0)
    const numbers = numbersOf(texts, { tornEnds: true })
    expect([...new Set(numbers)].sort((a, b) => a - b)).toEqual(range(0, 300))
    expect(statistics).toMatchObject({ discardedCnt: { total: 0 }, unaccountedCnt: 0 })
  })

  test.each(['interval', 'always'])(
    'on fsync %s: what could not be synced goes to a new file, until it is synced',
    async (fsync) => {
      const { directory, faults, remote } = await startFaulty({ fsync })
      await until(() => faults.calls('sync') > 0, { what: 'a sync' })
      faults.fail('sync', 'EIO', { suffix: '.log' })
      await remote.queue(100, 200)
      const { filePublisher } = await untilErrors(remote)
      expect(filePublisher.lastError).toMatch(/cannot sync .*Input\/output error/)
      expect(await coreShare(remote)).toBeLessThan(0.5)
      const { fallback } = await remote.statistics()
      if (fsync === 'always') expect(fallback.messages).toBe(100)
      faults.heal('sync')
      await remote.queue(200, 300)
      await untilOnDisk(remote, 300)
      await untilLogged(remote, 'ERROR', 'could not be synced; going on in a new one')
      const { errorCnt } = (await remote.statistics()).filePublisher
      expect(errorCnt).toBe(faults.hits('sync'))
      expect(await remote.end()).toMatchObject({
        discardedCnt: { total: 0 },
        fallback: { messages: 300 },
        unaccountedCnt: 0,
      })
      const texts = fallbackFiles(directory).map((file) => fs.readFileSync(file, 'utf8'))
      expect(numbersOf(texts)).toEqual(range(0, 300))
      expect(numbersOf(texts.slice(0, 1))).toEqual(range(0, 100))
    }
  )
})

test('the directory can not be looked at for a while: nothing counts as removed', async () => {
  const directory = makeDirectory()
  const faults = new Faults(directory)
  const remote = await start(directory, { segmentBytes: 4000 }, { env: faults.env })
  await remote.queue(0, 100)
  await untilOnDisk(remote, 100)
  faults.fail('stat', 'EACCES')
  await remote.queue(100, 200)
  await until(() => faults.hits('stat') > 0, { what: 'a failed stat' })
  faults.heal('stat')
  await remote.queue(200, 300)
  await untilOnDisk(remote, 300)
  expect(await remote.end()).toMatchObject({
    discardedCnt: { total: 0 },
    handedOverCnt: 0,
    fallback: { messages: 300 },
    unaccountedCnt: 0,
  })
  const texts = fallbackFiles(directory).map((file) => fs.readFileSync(file, 'utf8'))
  expect(numbersOf(texts)).toEqual(range(0, 300))
})
