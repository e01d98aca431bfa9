// The progress file beside a fallback file: believed when it fits its file, and then nothing is sent
// twice; when it does not, everything is sent, and nothing is lost.

const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const {
  SOON,
  leaveFile,
  numberedLines,
  sampleStatistics,
  untilReplayed,
} = require('./support/replay')
const { progressText } = require('./support/progress-text')
const { until } = require('./support/until')

let cluster
let directory
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  for (const topic of ['t', 'u']) cluster.createTopic(topic, { partitions: 1 })
  directory = makeDirectory()
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

const make = (fallback) =>
  makePublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    fallback: { directory, ...fallback },
  })
const arrived = async (topic = 't') =>
  (await cluster.readTopic(topic)).map(({ value }) => JSON.parse(value).i)
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

const CONTENT = numberedLines(0, 100)
const afterLines = (count, text = CONTENT) =>
  Buffer.byteLength(text.split('\n').slice(0, count).join('\n')) + 1

test('one that fits is believed: what it says is settled is not sent again', async () => {
  const file = leaveFile(directory, CONTENT)
  fs.writeFileSync(`${file}.progress`, progressText(afterLines(60), CONTENT))
  const publisher = make()
  const samples = sampleStatistics(publisher)
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(range(60, 100))
  expect(samples.stop()).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 40,
    sentCnt: 40,
    replay: { replayedCnt: 40, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
  await publisher.end()
  expect(fs.readdirSync(directory)).toEqual([])
})

test('one that says that all is settled ends in the removal of both', async () => {
  const file = leaveFile(directory, CONTENT)
  fs.writeFileSync(`${file}.progress`, progressText(CONTENT.length, CONTENT))
  const publisher = make()
  publisher.queue('k', { i: -1 })
  await untilReplayed(publisher)
  expect(await arrived()).toEqual([-1])
  await publisher.end()
  expect(fs.readdirSync(directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({ recoveredCnt: 0, unaccountedCnt: 0 })
})

test('of a topic that is behind, only its own messages are sent again', async () => {
  let content = ''
  for (let i = 0; i < 100; i++) {
    content += numberedLines(i, i + 1, { topic: i % 2 ? 'u' : 't' })
  }
  const file = leaveFile(directory, content)
  const floors = { u: afterLines(20, content) }
  fs.writeFileSync(`${file}.progress`, progressText(afterLines(80, content), content, floors))
  const publisher = make()
  await untilReplayed(publisher)
  expect(await arrived('t')).toEqual(range(80, 100).filter((i) => i % 2 === 0))
  expect(await arrived('u')).toEqual(range(20, 100).filter((i) => i % 2 === 1))
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 50,
    replay: { replayedCnt: 50, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
})

const believed = progressText(afterLines(60), CONTENT)
const other = numberedLines(500, 600)

test.each([
  ['is empty', ''],
  ['is cut off', believed.slice(0, -20)],
  ['is of NUL bytes', '\0'.repeat(believed.length)],
  ['is garbage', 'garbage'],
  ['has another number than its checksum', believed.replace(/"base":\d/, '"base":9')],
  ["is another file's", progressText(afterLines(60), other)],
  ["points past the file's end", progressText(CONTENT.length + 1, CONTENT)],
  ['points far past it', progressText(2 ** 52, CONTENT)],
  ['points into the midst of a line', progressText(afterLines(60) + 5, CONTENT)],
  [
    'has a topic behind, in the midst of a line',
    progressText(afterLines(60), CONTENT, { t: afterLines(3) + 1 }),
  ],
])('one that %s is not believed: everything is sent', async (_name, text) => {
  const file = leaveFile(directory, CONTENT)
  fs.writeFileSync(`${file}.progress`, text)
  const publisher = make()
  await untilReplayed(publisher)
  expect(await arrived()).toEqual(range(0, 100))
  await publisher.end()
  const said = publisher.lines.filter((line) => line.text.includes('is not believed'))
  expect(said.map(({ level }) => level)).toEqual(['WARN'])
  expect(said[0].text).toContain(path.basename(file).slice('fallback-'.length))
  expect(fs.readdirSync(directory)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    recoveredCnt: 100,
    replay: { replayedCnt: 100, rejectedCnt: 0 },
    unaccountedCnt: 0,
  })
})

test('one whose file is gone is removed', async () => {
  const file = leaveFile(directory, CONTENT)
  fs.renameSync(file, path.join(directory, 'elsewhere'))
  fs.writeFileSync(`${file}.progress`, believed)
  const publisher = make()
  publisher.queue('k', { i: -1 })
  await until(() => !fs.existsSync(`${file}.progress`))
  await publisher.end()
  expect(await arrived()).toEqual([-1])
  expect(publisher.getStatistics()).toMatchObject({ recoveredCnt: 0, unaccountedCnt: 0 })
})

test('a replay that is ended in its midst is gone on with by the next publisher', async () => {
  const content = numberedLines(0, 1000)
  const file = leaveFile(directory, content)
  const first = make({ replay: { maxMessagesPerSecond: 100 } })
  await until(() => first.getStatistics().replay.replayedCnt >= 100)
  await first.end()
  const { replay, sentCnt, fallback, unaccountedCnt } = first.getStatistics()
  expect([sentCnt, fallback.messages]).toEqual([replay.replayedCnt, 1000 - replay.replayedCnt])
  expect([unaccountedCnt, replay.replayedCnt < 1000]).toEqual([0, true])
  const [left] = fallbackFiles(directory)
  expect(left.endsWith(path.basename(file).slice('fallback-'.length))).toBe(true)
  expect(fs.existsSync(`${left}.progress`)).toBe(true)

  const second = make()
  await untilReplayed(second)
  expect(second.getStatistics()).toMatchObject({
    recoveredCnt: fallback.messages,
    sentCnt: fallback.messages,
    unaccountedCnt: 0,
  })
  expect(await arrived()).toEqual(range(0, 1000))
})
