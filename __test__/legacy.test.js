// What earlier versions have left is published, too, once nobody writes to it any more.
//
// Takes long.

const { spawn } = require('node:child_process')
const { randomUUID } = require('node:crypto')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { MockCluster } = require('../testing')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const {
  SOON,
  rejectedBytes,
  sampleStatistics,
  timesLogged,
  untilReplayed,
} = require('./support/replay')
const { until } = require('./support/until')

let cluster
let directory
const children = []
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  for (const topic of ['t', 'u']) cluster.createTopic(topic, { partitions: 1 })
  directory = makeDirectory()
})
afterEach(async () => {
  await Promise.all(
    children.splice(0).map((child) => {
      child.kill()
      return child.exitCode ?? child.signalCode ?? once(child, 'exit')
    })
  )
  await endPublishers()
  cluster.close()
})

const make = (fallback, options) =>
  makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    ...options,
    fallback: { directory, ...fallback },
  })

const read = async (topic = 't') =>
  (await cluster.readTopic(topic)).map(({ key, value }) => [
    key === null ? null : key.toString(),
    value.toString(),
  ])
const keysOfJson = (count, from = 0) =>
  Array.from({ length: count }, (_, i) => [`"key ${from + i}"`, `{"i":${from + i}}`])

/** Lines as 0.1.x writes them. */
const oldLines = (from, to, topic = 't') =>
  Array.from({ length: to - from }, (_, i) =>
    JSON.stringify({ topic, key: `key ${from + i}`, value: { i: from + i } })
  )
const textOf = (lines) => lines.map((line) => `${line}\n`).join('')

/** Writes a file, as it looks when nobody has written to it for `minutes`. */
function leave(name, text, minutes = 11) {
  const file = path.join(directory, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
  rest(file, minutes)
  return file
}

function rest(file, minutes = 11) {
  const time = Date.now() / 1000 - minutes * 60
  fs.utimesSync(file, time, time)
}

const everything = () => fs.readdirSync(directory, { recursive: true }).sort()

test.each([
  ['fallback.log of 0.1.3', () => 'fallback.log'],
  ['fallback-<uuid>.log of 0.1.4', () => `fallback-${randomUUID()}.log`],
])('%s: its messages arrive, with their keys and in order', async (_name, nameOf) => {
  leave(nameOf(), textOf(oldLines(0, 200)))
  const begin = Date.now()
  const publisher = make()
  const samples = sampleStatistics(publisher)
  await until(async () => (await read()).length === 200)
  await untilReplayed(publisher)
  expect(await read()).toEqual(keysOfJson(200))
  // The lines do not tell when they were queued.
  const times = (await cluster.readTopic('t')).map(({ timestamp }) => timestamp)
  expect(times.filter((time) => time < begin || time > Date.now())).toEqual([])
  expect(samples.stop()).toEqual([])
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 200,
    sentCnt: 200,
    replay: { replayedCnt: 200, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
  expect(timesLogged(publisher, 'fallback file of an earlier version taken over')).toBe(1)
  expect(everything()).toEqual([])
})

test('keys and values of 0.1.x arrive as the text that they are, of any kind', async () => {
  const texts = [
    ['7', '{"a":1.50}'],
    ['{"id": [1, 2]}', '[1,  2]'],
    ['""', '{"text":"\\u2028 \\ud800 \\"é\\""}'],
    ['-0.0', '{"big":12345678901234567890}'],
  ]
  const lines = texts.map(([key, value]) => `{"topic":"t","key":${key},"value":${value}}`)
  leave('fallback.log', textOf(lines))
  const publisher = make()
  await until(async () => (await read()).length === texts.length)
  expect(await read()).toEqual(texts)
  expect(publisher.getStatistics().unaccountedCnt).toBe(0)
})

test("3.x's daily folders: values as they are, without a key; the folders go", async () => {
  const line = (topic, mesgValue, ackKey) => JSON.stringify({ topic, mesgValue, ackKey })
  const values = {
    plain: '{"n": 1, "text":"\\u00e9\\n"}',
    number: '{"n": 2.0}',
    large: JSON.stringify({ n: 3, text: 'x'.repeat(100_000) }),
  }
  leave(
    `20240131/t~2024013107~${randomUUID()}~0.fallback.log`,
    textOf([line('t', values.plain, 1), line('u', values.plain, 2)])
  )
  leave('20240131/t~2024013107~host-1~0.fallback.log', textOf([line('t', values.number, 3)]))
  leave(
    '20240201/t~2024020101~host-1~0.largeMesg.fallback.log',
    textOf([line('t', values.large, 4)])
  )
  const kept = leave('20240201/notes.txt', 'not ours')
  // These are no messages.
  const acks = leave(
    '20240201/t~2024020101~host-1~0.orphanedAck.fallback.log',
    textOf([JSON.stringify({ topic: 't', ackKey: 5 })])
  )
  leave('archive-2024/t~x~0.fallback.log', 'not a daily folder')
  const publisher = make()
  await until(async () => (await read()).length === 3 && (await read('u')).length === 1)
  await untilReplayed(publisher)
  const sorted = (await read()).sort(([, a], [, b]) => (a < b ? -1 : 1))
  expect(sorted).toEqual(
    [values.plain, values.number, values.large].sort().map((value) => [null, value])
  )
  expect(await read('u')).toEqual([[null, values.plain]])
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 4,
    replay: { replayedCnt: 4, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
  expect(everything()).toEqual([
    '20240201',
    path.relative(directory, kept),
    path.relative(directory, acks),
    'archive-2024',
    'archive-2024/t~x~0.fallback.log',
  ])
})

test('a line of 3.x whose topic is a path changes none, and is kept', async () => {
  const bad = JSON.stringify({ topic: '../../etc/x', mesgValue: '{}', ackKey: 1 })
  const fine = JSON.stringify({ topic: 't', mesgValue: '{"n":1}', ackKey: 2 })
  leave('20240131/x~2024013107~host-1~0.fallback.log', textOf([bad, fine]))
  const publisher = make()
  await until(async () => (await read()).length === 1)
  await untilReplayed(publisher)
  expect(await read()).toEqual([[null, '{"n":1}']])
  await publisher.end()
  const [rejected, ...others] = everything()
  expect(others).toEqual([])
  expect(rejected).toMatch(/^fallback-[0-9a-f-]{36}-[0-9a-f-]{36}-000001\.log\.rejected$/)
  expect(rejectedBytes(directory).toString()).toBe(`${bad}\n`)
  expect(publisher.getStatistics()).toMatchObject({
    replay: { rejectedCnt: 1, replayedCnt: 1 },
    unaccountedCnt: 0,
  })
})

/** A process of an earlier version. `append` resolves when the lines are in the file. */
function startOldProcess(file, how) {
  const script = path.join(__dirname, 'support', 'append.js')
  const child = spawn(process.execPath, [script, file, how], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const answers = readline.createInterface({ input: child.stdout })
  return {
    async append(lines) {
      for (const line of lines) {
        child.stdin.write(`${line}\n`)
        await once(answers, 'line')
      }
    },
  }
}

test('a file that an old process appends to is not touched; it is when that has stopped', async () => {
  const busy = path.join(directory, 'fallback.log')
  const old = startOldProcess(busy, 'path')
  await old.append(oldLines(0, 10))
  leave(`fallback-${randomUUID()}.log`, textOf(oldLines(100, 110)))
  // By the clock of the file it is quiet, and then it is not: 9 minutes are not enough, either.
  const almost = leave(`fallback-${randomUUID()}.log`, textOf(oldLines(200, 210)), 9)
  const publisher = make()
  await until(async () => (await read()).length === 10)
  expect(await read()).toEqual(keysOfJson(10, 100))
  const inode = fs.statSync(busy).ino
  await old.append(oldLines(10, 20))
  // A later look finds the next quiet file and leaves the busy one alone.
  leave(`fallback-${randomUUID()}.log`, textOf(oldLines(300, 310)))
  await until(async () => (await read()).length === 20)
  expect(fs.statSync(busy).ino).toBe(inode)
  expect(fs.readFileSync(busy, 'utf8')).toBe(textOf(oldLines(0, 20)))
  expect(fs.existsSync(almost)).toBe(true)

  rest(busy)
  rest(almost)
  await until(async () => (await read()).length === 50)
  const keys = (await read()).map(([key]) => key)
  expect(new Set(keys)).toEqual(
    new Set([0, 100, 200, 300].flatMap((from) => keysOfJson(from ? 10 : 20, from)).map(([k]) => k))
  )
  // The old process, which opens the file anew for each line, goes on in a new one.
  await old.append(oldLines(20, 30))
  expect(fs.readFileSync(busy, 'utf8')).toBe(textOf(oldLines(20, 30)))
  rest(busy)
  await until(async () => (await read()).length === 60)
  expect((await read()).slice(-10)).toEqual(keysOfJson(10, 20))
  await untilReplayed(publisher)
  await publisher.end()
  expect(publisher.getStatistics()).toMatchObject({ recoveredCnt: 60, unaccountedCnt: 0 })
  expect(everything()).toEqual([])
})

test('what an old process appends to its open file, taken over meanwhile, is replayed', async () => {
  const file = path.join(directory, '20240131', 't~2024013107~host-1~0.fallback.log')
  fs.mkdirSync(path.dirname(file))
  const old = startOldProcess(file, 'handle')
  const line = (i) => JSON.stringify({ topic: 't', mesgValue: `{"i":${i}}`, ackKey: i })
  const lines = (from, to) => Array.from({ length: to - from }, (_, i) => line(from + i))
  await old.append(lines(0, 100))
  rest(file)
  const publisher = make({ replay: { maxMessagesPerSecond: 25 } })
  const samples = sampleStatistics(publisher)
  await until(() => publisher.getStatistics().replay.replayedCnt > 0)
  expect(fs.existsSync(file)).toBe(false)
  expect(fallbackFiles(directory)).toHaveLength(1)
  await old.append(lines(100, 130))
  expect(publisher.getStatistics().replay.replayedCnt).toBeLessThan(100)
  await untilReplayed(publisher)
  expect(await read()).toEqual(Array.from({ length: 130 }, (_, i) => [null, `{"i":${i}}`]))
  expect(samples.stop()).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 130,
    sentCnt: 130,
    replay: { replayedCnt: 130, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
})

test('a process of 3.x that lives goes on in the folder that its last file was taken from', async () => {
  const day = new Date().toISOString().slice(0, 10).replaceAll('-', '')
  const fileOf = (hour) => path.join(directory, day, `t~${day}${hour}~host-1~0.fallback.log`)
  const line = (i) => JSON.stringify({ topic: 't', mesgValue: `{"i":${i}}`, ackKey: i })
  fs.mkdirSync(path.join(directory, day))
  // It makes the folder when it starts, and its file of the hour when it has something to write.
  const appendHour = async (hour, i) => {
    const old = startOldProcess(fileOf(hour), 'handle')
    await old.append([line(i)])
    rest(fileOf(hour))
  }
  await appendHour('07', 0)
  const publisher = make()
  const past = leave('20240131/t~2024013107~x~0.fallback.log', textOf([line(100)]))
  await until(async () => (await read()).length === 2)
  expect(fs.existsSync(path.dirname(past))).toBe(false)
  expect(fs.readdirSync(path.join(directory, day))).toEqual([])
  for (let i = 1; i < 3; i++) {
    await appendHour(`0${7 + i}`, i)
    await until(async () => (await read()).length === 2 + i)
  }
  await untilReplayed(publisher)
  const numbers = (await read()).map(([, value]) => JSON.parse(value).i)
  expect(numbers.sort((a, b) => a - b)).toEqual([0, 1, 2, 100])
  await publisher.end()
  expect(everything()).toEqual([day])
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 4,
    discardedCnt: { total: 0 },
    unaccountedCnt: 0,
  })
})

test('fallback.replay false leaves all of it alone', async () => {
  const names = ['fallback.log', `fallback-${randomUUID()}.log`, '20240131/t~0~x~0.fallback.log']
  for (const name of names) leave(name, textOf(oldLines(0, 10)))
  const before = everything()
  const publisher = make({ replay: false })
  publisher.queue('k', { live: true })
  await until(() => publisher.getStatistics().sentCnt === 1)
  await publisher.end()
  expect(everything()).toEqual(before)
  expect(await read()).toEqual([['"k"', '{"live":true}']])
  expect(publisher.getStatistics()).toMatchObject({ replay: { state: 'off' }, recoveredCnt: 0 })
})
