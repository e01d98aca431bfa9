// A writer that dies at the nth of its system calls on the directory, or whose nth fails, for every n:
// what it counted as on disk is there, in its order, and nothing is in a file twice.
//
// Takes long.

const fs = require('node:fs')
const { Child, killChildren } = require('./support/children')
const { CRASHES, atEveryPoint } = require('./support/crash-points')
const { Faults } = require('./support/faults')
const { readLines, idOf } = require('./support/numbered')
const { endPublishers, fallbackFiles, makeDirectory } = require('./support/publisher')
const { unaccounted } = require('./support/replay')
const { until } = require('./support/until')

const FIRST = 10
const COUNT = 20

afterAll(async () => {
  await killChildren()
  await endPublishers()
  Faults.removeAll()
})

const idsTo = (count) => Array.from({ length: count }, (_, i) => idOf('child', i))

/** Two bursts while Kafka is away, in files of few lines; then the end. */
async function writeWith(spoil) {
  const directory = makeDirectory()
  const faults = new Faults(directory)
  spoil(faults)
  const child = new Child(
    'child',
    {
      connectionString: '127.0.0.1:1',
      retries: { attempts: 1 },
      batch: { maxWait: 0 },
      defaultTopic: 't',
      fallback: {
        directory,
        fsync: 'always',
        segmentBytes: 700,
        retryOptions: { minTimeout: 10, maxTimeout: 50 },
      },
    },
    { first: FIRST, env: faults.env }
  )
  const untilWritten = (count) =>
    until(() => child.isGone() || child.statistics?.fallback.messages >= count, {
      what: () => `${count} lines; ${JSON.stringify(child.statistics)} at ${faults.points()}`,
    })
  await untilWritten(FIRST)
  if (!child.isGone()) child.queue(COUNT - FIRST)
  await untilWritten(COUNT)
  // It may die on its way out.
  const hasEnded = !child.isGone() && (await child.end().catch(() => null)) !== null
  const files = fallbackFiles(directory).map((file) => readLines(fs.readFileSync(file)))
  return {
    faults,
    hasEnded,
    statistics: child.statistics,
    ids: files.flatMap(({ lines }) => lines.map(({ id }) => id)),
    files: files.length,
    torn: files.map(({ torn }) => torn).filter(Boolean),
    left: fs.readdirSync(directory).filter((name) => !/\.(log|lock|lock\.new)$/.test(name)),
  }
}

test.each(CRASHES)('%s: what counts as on disk is there', async (_name, crash) => {
  await atEveryPoint(crash, writeWith, (n, { statistics, ids, files, torn, left, hasEnded }) => {
    // Told before its death, or at its end.
    const counted = statistics?.fallback.messages ?? 0
    expect({ n, ids: ids.slice(0, counted) }).toEqual({ n, ids: idsTo(counted) })
    expect({ n, ids }).toEqual({ n, ids: idsTo(ids.length) })
    expect({ n, left }).toEqual({ n, left: [] })
    expect(torn.length).toBeLessThanOrEqual(crash.dies ? 1 : 0)
    if (statistics) expect({ n, off: unaccounted(statistics) }).toEqual({ n, off: 0 })
    if (crash.dies && n > 0) return
    expect(files).toBeGreaterThan(2)
    expect({ n, hasEnded, ids, counted, discarded: statistics.discardedCnt.total }).toEqual({
      n,
      hasEnded: true,
      ids: idsTo(COUNT),
      counted: COUNT,
      discarded: 0,
    })
  })
})
