// Taking over what a process has left, died of or failed at any system call: whoever comes next publishes
// all of it, but for what was settled before, which is not published again.
//
// Takes long.

const fs = require('node:fs')
const { randomUUID } = require('node:crypto')
const { MockCluster } = require('../testing')
const { CRASHES, atEveryPoint } = require('./support/crash-points')
const { Faults } = require('./support/faults')
const { progressText } = require('./support/progress-text')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const { SOON, leaveFile, numberedLines, rejectsIn, unaccounted } = require('./support/replay')
const { endRemotes, startRemote } = require('./support/remote')
const { until } = require('./support/until')

const SETTLED = 3
const COUNT = 12
const KEPT = { reason: 'kept before', time: 1, file: 'x', offset: 0, line: 'kept before' }

afterEach(endRemotes)
afterEach(endPublishers)
afterAll(() => Faults.removeAll())

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

/** What a process has left that was in the midst of a replay. */
function leaveAll(directory) {
  const instance = randomUUID()
  const leave = (from, to, sequence) =>
    leaveFile(directory, numberedLines(from, to), { instance, sequence })
  const first = leave(0, 6, 1)
  const content = fs.readFileSync(first, 'utf8')
  const settled = content.split('\n').slice(0, SETTLED).join('\n').length + 1
  fs.writeFileSync(`${first}.progress`, progressText(settled, content))
  fs.writeFileSync(`${leave(6, 9, 2)}.rejected`, `${JSON.stringify(KEPT)}\n`)
  leave(9, COUNT, 3)
  return instance
}

/** Resolves when it is gone, has taken all of it over, or could not. */
function untilTried(remote, directory, instance) {
  const isLeft = () => fs.readdirSync(directory).some((name) => name.includes(`-${instance}.lock`))
  return until(async () => {
    if (!isLeft()) return true
    const lines = await remote.lines().catch(() => null)
    return !lines || lines.some(({ text }) => text.includes('cannot be'))
  })
}

async function adoptWith(spoil) {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
  const directory = makeDirectory()
  const instance = leaveAll(directory)
  const options = {
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    // What is taken over is not replayed at once.
    fallback: { directory, fsync: 'always', replay: { maxMessagesPerSecond: 20 } },
  }
  const faults = new Faults(directory)
  spoil(faults)
  // It may die before it answers.
  const remote = await startRemote(options, { env: faults.env }).catch(() => null)
  if (remote) {
    remote.run(({ publisher }) => publisher.init()).catch(() => {})
    await untilTried(remote, directory, instance)
    await remote.kill()
  }

  const next = makePublisher({ ...options, fallback: { directory } })
  await next.init()
  await until(() => fallbackFiles(directory).length === 0)
  await next.end()
  const arrived = (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)
  cluster.close()
  return {
    faults,
    arrived: [...new Set(arrived)].sort((a, b) => a - b),
    rejected: rejectsIn(directory),
    left: fs.readdirSync(directory).filter((name) => !/\.(rejected|new|lock)$/.test(name)),
    unaccounted: unaccounted(next.getStatistics()),
  }
}

test.each(CRASHES)(
  '%s: all arrives that was not settled, and nothing else',
  async (_name, crash) => {
    await atEveryPoint(crash, adoptWith, (n, { faults: _, ...found }) => {
      expect({ n, ...found }).toEqual({
        n,
        arrived: range(SETTLED, COUNT),
        rejected: [KEPT],
        left: [],
        unaccounted: 0,
      })
    })
  }
)
