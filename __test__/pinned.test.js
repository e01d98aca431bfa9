// Messages that can't be delivered for now hold nobody else's room: they are copied out of a large file
// that is otherwise done.

const fs = require('node:fs')
const path = require('node:path')
const { readTopic } = require('./support/consume')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const { SOON, leaveFile, numberedLines, unaccounted, untilReplayed } = require('./support/replay')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

const COUNT = 1500
const PINNED = [0, 700, COUNT - 1]
const TEXT = 'x'.repeat(1000)

let kafka
let count = 0
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const numbersIn = async (topic) =>
  (await readTopic(kafka.bootstrap, topic)).map(({ value }) => JSON.parse(value).i)

/** A file of 1.5 MB that a process which is gone has left, with a few messages of a deleted topic. */
async function leavePinned() {
  const [well, deleted] = [`pinned-well-${count}`, `pinned-deleted-${count}`]
  count++
  await kafka.createTopic(well)
  await kafka.createTopic(deleted)
  await kafka.deleteTopic(deleted)
  const directory = makeDirectory()
  const content = range(0, COUNT)
    .map((i) =>
      PINNED.includes(i)
        ? numberedLines(i, i + 1, { topic: deleted })
        : numberedLines(i, i + 1, { topic: well }).replace('"i"', `"text":"${TEXT}","i"`)
    )
    .join('')
  const file = leaveFile(directory, content)
  const make = (fallback) =>
    makePublisher({
      connectionString: kafka.bootstrap,
      defaultTopic: well,
      ...SOON,
      // As long as the test lasts, the topic's trouble is not over.
      retryOptions: { minTimeout: 100, maxTimeout: 1000 },
      fallback: { directory, ...fallback },
    })
  const others = range(0, COUNT).filter((i) => !PINNED.includes(i))
  return { well, deleted, directory, name: path.basename(file), content, make, others }
}

const bytesIn = (directory) =>
  fallbackFiles(directory).reduce((sum, file) => sum + fs.statSync(file).size, 0)

/** Resolves when only what is pinned is left, in a file of its own. */
const untilCopied = (publisher, directory) =>
  until(() => {
    const { fallback } = publisher.getStatistics()
    return fallback.messages === PINNED.length && bytesIn(directory) < 1000 && fallback.bytes < 1000
  })

test('their bytes are given back, and they arrive once their topic is there again', async () => {
  const { well, deleted, directory, content, make, others } = await leavePinned()
  // Room for the file, and for little more.
  const publisher = make({ maxBytes: content.length + 10_000 })
  await publisher.init()
  await untilCopied(publisher, directory)
  expect(fallbackFiles(directory)).toHaveLength(1)
  expect(await numbersIn(well)).toEqual(others)
  expect(publisher.getStatistics().replay).toMatchObject({ files: 1, messages: PINNED.length })
  await publisher.end()

  const away = makePublisher({
    connectionString: '127.0.0.1:1',
    defaultTopic: well,
    fallback: { directory, maxBytes: content.length + 10_000 },
  })
  for (let i = 0; i < 1000; i++) away.queue('k', { text: TEXT, i: COUNT + i })
  await away.end()
  expect(away.getStatistics()).toMatchObject({
    discardedCnt: { total: 0 },
    fallback: { messages: 1000 },
  })

  await kafka.createTopic(deleted)
  const next = make()
  await untilReplayed(next)
  await next.end()
  expect(await numbersIn(deleted)).toEqual(PINNED)
  expect(await numbersIn(well)).toEqual([...others, ...range(COUNT, COUNT + 1000)])
  for (const one of [publisher, next]) expect(unaccounted(one.getStatistics())).toBe(0)
})

test("with keep 'archive', the file itself goes there", async () => {
  const { directory, name, content, make } = await leavePinned()
  const publisher = make({ replay: { keep: 'archive' } })
  await publisher.init()
  await untilCopied(publisher, directory)
  const archived = path.join(directory, 'archive', name)
  expect(fs.readFileSync(archived, 'utf8') === content).toBe(true)
  await publisher.end()
  expect(unaccounted(publisher.getStatistics())).toBe(0)
})
