// Files that are taken from an owner who lives, files that can't be removed, files that are none, lines
// that this version does not know: nothing is lost, published twice, followed or destroyed.
//
// Takes long.

const { execFileSync } = require('node:child_process')
const { randomUUID } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { Faults } = require('./support/faults')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
  readFallback,
  untilState,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  lineOf,
  numberedLines,
  rejectsIn,
  unaccounted,
  untilReplayed,
} = require('./support/replay')
const { endRemotes, startRemote } = require('./support/remote')
const { until } = require('./support/until')

let cluster
let directory
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
  directory = makeDirectory()
})
afterEach(async () => {
  await endRemotes()
  await endPublishers()
  cluster.close()
})
afterAll(() => Faults.removeAll())

const options = (more) => ({
  connectionString: cluster.connectionString,
  defaultTopic: 't',
  ...SOON,
  ...more,
  fallback: { directory, ...more?.fallback },
})
const make = (more) => makePublisher(options(more))
const away = (more) => make({ connectionString: '127.0.0.1:1', ...more })
const arrived = async () => {
  const messages = await cluster.readTopic('t', { timeoutMs: 30_000 })
  return messages.map(({ value }) => JSON.parse(value).i)
}
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const queue = (publisher, from, to) => {
  for (let i = from; i < to; i++) publisher.queue('k', { i })
}

test('an owner that is taken for dead hands its file over, and goes on in a new one', async () => {
  const owner = away()
  queue(owner, 0, 100)
  await until(() => owner.getStatistics().fallback.messages === 100)
  // As a cleaner does that does not know what it is.
  for (const name of fs.readdirSync(directory)) {
    if (name.endsWith('.lock')) fs.rmSync(path.join(directory, name))
  }
  const heir = make()
  await until(() => heir.getStatistics().recoveredCnt === 100)
  queue(owner, 100, 200)
  await until(() => owner.getStatistics().handedOverCnt === 100)
  await until(() => owner.getStatistics().fallback.messages === 100)
  await until(() => heir.getStatistics().sentCnt === 100)
  await owner.end()
  expect(owner.getStatistics()).toMatchObject({
    queueCnt: 200,
    handedOverCnt: 100,
    discardedCnt: { total: 0 },
    fallback: { messages: 100 },
  })
  await untilReplayed(heir)
  await heir.end()
  for (const publisher of [owner, heir]) expect(unaccounted(publisher.getStatistics())).toBe(0)
  expect((await arrived()).sort((a, b) => a - b)).toEqual(range(0, 200))
})

test('what is appended to a file after it was taken over is published, too', async () => {
  const file = path.join(directory, `fallback-${randomUUID()}-000001.log`)
  fs.writeFileSync(file, numberedLines(0, 10))
  const late = fs.openSync(file, 'a')
  const heir = make()
  await until(() => heir.getStatistics().sentCnt === 10)
  fs.writeSync(late, numberedLines(10, 20))
  fs.closeSync(late)
  await untilReplayed(heir)
  expect(await arrived()).toEqual(range(0, 20))
  expect(heir.getStatistics()).toMatchObject({ recoveredCnt: 20, unaccountedCnt: 0 })
})

test.each([
  ['no unlink', {}, (faults) => faults.fail('unlink', 'EPERM', { suffix: '.log' })],
  [
    'no archive',
    { replay: { keep: 'archive' } },
    () => fs.writeFileSync(path.join(directory, 'archive'), 'in its place'),
  ],
])(
  'a file that can not be removed (%s) is published once, whoever comes',
  async (_name, fallback, spoil) => {
    leaveFile(directory, numberedLines(0, 500))
    for (let run = 0; run < 3; run++) {
      const faults = new Faults(directory)
      spoil(faults)
      const remote = await startRemote(options({ fallback }), { env: faults.env })
      await remote.run(({ publisher }) => publisher.init())
      await until(async () => {
        const { replay, filePublisher } = await remote.statistics()
        return replay.files === 1 && replay.messages === 0 && filePublisher.errorCnt > 0
      })
      expect(await remote.end()).toMatchObject({
        recoveredCnt: run === 0 ? 500 : 0,
        discardedCnt: { total: 0 },
        unaccountedCnt: 0,
      })
    }
    expect(await arrived()).toEqual(range(0, 500))
  },
  120_000
)

test('a file that can not be taken over holds no other of its process back', async () => {
  const instance = randomUUID()
  leaveFile(directory, numberedLines(0, 5), { instance })
  leaveFile(directory, numberedLines(5, 10), { instance, sequence: 2 })
  const faults = new Faults(directory)
  faults.fail('rename', 'EPERM', { suffix: '-000001.log' })
  const remote = await startRemote(options(), { env: faults.env })
  await remote.run(({ publisher }) => publisher.init())
  await until(async () => (await remote.statistics()).sentCnt === 5)
  faults.heal('rename')
  await until(async () => (await remote.statistics()).sentCnt === 10)
  expect(await remote.end()).toMatchObject({ recoveredCnt: 10, unaccountedCnt: 0 })
  expect((await arrived()).sort((a, b) => a - b)).toEqual(range(0, 10))
})

describe('what is no plain file', () => {
  const secret = () => {
    const file = path.join(makeDirectory(), 'secret')
    fs.writeFileSync(file, 'secret\n')
    return file
  }

  test('is neither read, nor waited for, nor written to', async () => {
    const target = secret()
    const link = `fallback-${randomUUID()}-000001.log`
    fs.symlinkSync(target, path.join(directory, link))
    execFileSync('mkfifo', [path.join(directory, `fallback-${randomUUID()}-000001.log`)])
    execFileSync('mkfifo', [path.join(directory, `fallback-${randomUUID()}.lock`)])
    const file = leaveFile(directory, `${numberedLines(0, 3)}garbage\n${numberedLines(3, 5)}`)
    for (const ending of ['.rejected', '.progress', '.progress.new']) {
      fs.symlinkSync(target, `${file}${ending}`)
    }
    const publisher = make()
    await until(() => publisher.getStatistics().sentCnt === 5)
    const before = performance.now()
    await publisher.end()
    expect(performance.now() - before).toBeLessThan(7000)
    expect(await arrived()).toEqual(range(0, 5))
    expect(fs.readFileSync(target, 'utf8')).toBe('secret\n')
    expect(fs.lstatSync(path.join(directory, link)).isSymbolicLink()).toBe(true)
    fs.rmSync(`${file}.rejected`, { force: true })
    expect(rejectsIn(directory).map(({ line }) => line)).toEqual(['garbage'])
    expect(publisher.getStatistics().unaccountedCnt).toBe(0)
  })
})

describe('lines', () => {
  test('that this version does not know stay where they are, with their file; the others go', async () => {
    const later = lineOf({ value: '{"i":1}' }).replace(/}$/, ',"colour":"red"}')
    leaveFile(directory, `${numberedLines(0, 1)}${later}\n${numberedLines(2, 3)}`)
    for (let run = 0; run < 2; run++) {
      const publisher = make()
      await until(() => publisher.getStatistics().replay.heldCnt === 1)
      await until(() => publisher.getStatistics().fallback.messages === 1)
      await publisher.end()
      expect(publisher.getStatistics()).toMatchObject({
        recoveredCnt: run === 0 ? 3 : 1,
        replay: { heldCnt: 1, rejectedCnt: 0 },
        discardedCnt: { total: 0 },
        unaccountedCnt: 0,
      })
    }
    expect(await arrived()).toEqual([0, 2])
    const [file] = fallbackFiles(directory)
    expect(fs.readFileSync(file, 'utf8')).toContain(later)
  })

  test('whose checksum is wrong are rejected; those without one are published', async () => {
    const writer = away()
    queue(writer, 0, 10)
    await untilState(writer, 'fallingBack')
    await writer.end()
    for (const line of readFallback(directory)) expect(line.crc32c).toMatch(/^[0-9a-f]{8}$/)
    const [file] = fallbackFiles(directory)
    const text = fs.readFileSync(file, 'utf8')
    const damaged = text.replace('"i":4', '"i":5')
    fs.writeFileSync(file, damaged + numberedLines(10, 11))
    const publisher = make()
    await untilReplayed(publisher)
    expect(await arrived()).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9, 10])
    expect(rejectsIn(directory)).toMatchObject([
      {
        reason: expect.stringContaining('checksum'),
        offset: damaged.split('\n').slice(0, 4).join('\n').length + 1,
      },
    ])
    expect(publisher.getStatistics()).toMatchObject({
      replay: { replayedCnt: 10, rejectedCnt: 1 },
      unaccountedCnt: 0,
    })
  })

  test('older than fallback.maxAge are kept apart', async () => {
    const now = Date.now()
    const old = numberedLines(0, 5, { timestamp: now - 3_600_000 })
    leaveFile(directory, old + numberedLines(5, 10, { timestamp: now }))
    const publisher = make({ fallback: { maxAge: 1_800_000 } })
    await untilReplayed(publisher)
    expect(await arrived()).toEqual(range(5, 10))
    expect(
      rejectsIn(directory)
        .map(({ line }) => `${line}\n`)
        .join('')
    ).toBe(old)
    expect(rejectsIn(directory)[0].reason).toContain('maxAge')
  })
})

test('a crash loop leaves thousands of files: few descriptors are needed for them', async () => {
  const count = 3000
  for (let i = 0; i < count; i++) leaveFile(directory, numberedLines(i, i + 1))
  const remote = await startRemote(options(), {
    prefix: ['sh', '-c', 'ulimit -n 300; exec "$@"', 'sh'],
  })
  await remote.run(({ publisher }) => publisher.init())
  await until(async () => (await remote.statistics()).replay.replayedCnt === count)
  const open = await remote.run(
    ({ require }) => require('node:fs').readdirSync('/proc/self/fd').length
  )
  expect(open).toBeLessThan(200)
  expect(await remote.end()).toMatchObject({ recoveredCnt: count, unaccountedCnt: 0 })
  expect((await arrived()).sort((a, b) => a - b)).toEqual(range(0, count))
  expect(fs.readdirSync(directory)).toEqual([])
})

test("a starter that can't reach Kafka takes nothing away from one that can", async () => {
  const file = leaveFile(directory, numberedLines(0, 10))
  const nobody = away()
  queue(nobody, 100, 101)
  await untilState(nobody, 'fallingBack')
  expect(fs.existsSync(file)).toBe(true)
  const publisher = make()
  await until(() => publisher.getStatistics().sentCnt === 10)
  expect(nobody.getStatistics()).toMatchObject({ recoveredCnt: 0, unaccountedCnt: 0 })
})

test("whenFull 'discardOldest': the newest messages are kept", async () => {
  const publisher = away({
    fallback: { maxBytes: 100_000, segmentBytes: 20_000, whenFull: 'discardOldest' },
  })
  for (let i = 0; i < 3000; i += 100) {
    queue(publisher, i, i + 100)
    await until(() => publisher.queued() === 0)
  }
  const kept = readFallback(directory).map(({ value }) => value.i)
  expect(kept).toEqual(range(3000 - kept.length, 3000))
  expect(kept.length).toBeGreaterThan(500)
  expect(publisher.getStatistics()).toMatchObject({
    discardedCnt: { fallbackFull: 3000 - kept.length },
    fallback: { messages: kept.length },
    unaccountedCnt: 0,
  })
})
