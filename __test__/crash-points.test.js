// A replay that dies at the nth of its system calls on the directory, or whose nth fails, for every n: all
// that was in the files arrives, what was garbage is kept, and nothing else is left.
//
// Takes long.

const fs = require('node:fs')
const { MockCluster } = require('../testing')
const { Child, killChildren } = require('./support/children')
const { CRASHES, atEveryPoint } = require('./support/crash-points')
const { Faults } = require('./support/faults')
const {
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
} = require('./support/publisher')
const { SOON, leaveFile, numberedLines, rejectsIn, unaccounted } = require('./support/replay')
const { until } = require('./support/until')

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

afterAll(async () => {
  await killChildren()
  await endPublishers()
  Faults.removeAll()
})

/** Two files of processes that are dead, one of them with garbage, and what becomes of them. */
async function replayWith(spoil) {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
  const directory = makeDirectory()
  leaveFile(directory, `${numberedLines(0, 10)}garbage\n${numberedLines(10, 20)}`)
  leaveFile(directory, numberedLines(20, 30))
  const options = {
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    ...SOON,
    fallback: { directory, fsync: 'always' },
  }
  const faults = new Faults(directory)
  spoil(faults)
  const child = new Child('child', options, { env: faults.env })
  const isThrough = ({ replay, sentCnt }) => sentCnt >= 30 && replay.files === 0
  await until(() => child.isGone() || (child.statistics && isThrough(child.statistics)), {
    what: () => `a replay; ${JSON.stringify(child.statistics)} after ${faults.points()} calls`,
  })
  // It may die on its way out.
  const statistics = child.isGone() ? null : await child.end().catch(() => null)

  const next = makePublisher(options)
  await next.init()
  await until(() => fallbackFiles(directory).length === 0)
  await next.end()
  const arrived = (await cluster.readTopic('t')).map(({ value }) => JSON.parse(value).i)
  cluster.close()
  const rejected = rejectsIn(directory).map(({ line }) => line)
  return {
    faults,
    arrived: [...new Set(arrived)].sort((a, b) => a - b),
    twice: arrived.length - new Set(arrived).size,
    rejected: [...new Set(rejected)],
    // A lock without files is removed by whoever looks next.
    left: fs.readdirSync(directory).filter((name) => !/\.(rejected|new|lock)$/.test(name)),
    unaccounted: [statistics, next.getStatistics()].filter((s) => s && unaccounted(s) !== 0),
  }
}

const GOOD = { arrived: range(0, 30), rejected: ['garbage'], left: [], unaccounted: [] }

test.each(CRASHES)('%s: nothing is lost', async (_name, crash) => {
  const mostTwice = crash.dies ? 30 : 0
  await atEveryPoint(crash, replayWith, (n, { faults: _, twice, ...found }) => {
    expect({ n, ...found }).toEqual({ n, ...GOOD })
    expect(twice).toBeLessThanOrEqual(mostTwice)
  })
})
