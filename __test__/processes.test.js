// Several instances on one directory. Only files matter here, so Kafka is the embedded one.
//
// Takes long.

const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { MockCluster } = require('../testing')
const { makeOld } = require('./support/aging')
const { Child, killChildren } = require('./support/children')
const { readTopic } = require('./support/consume')
const { startClock } = require('./support/delays')
const { keyOf, messageOf, placesById, readLines, seededRandom } = require('./support/numbered')
const {
  PATIENT,
  endPublishers,
  fallbackFiles,
  makeDirectory,
  makePublisher,
  untilState,
} = require('./support/publisher')
const { until } = require('./support/until')

const TOPIC = 'shared'
const MEMORY = 1 << 20
// See support/numbered.js: each message costs 256 bytes and its own, which are 40 at least.
const WINDOW = Math.ceil(MEMORY / 8 / 296) + 1

// Longer than a producer takes to get its id on a busy machine: a message that is given up and yet
// delivered would be a duplicate that no kill has made.
const OUTAGE_AWARE = { retries: { attempts: 2, delay: { min: 1000, max: 1000 } } }

const random = seededRandom(Number(process.env.KILL_SEED ?? 7))

let cluster
let directory
beforeEach(() => {
  cluster = new MockCluster()
  cluster.createTopic(TOPIC, { partitions: 3 })
  directory = makeDirectory()
})
afterEach(async () => {
  await killChildren()
  await endPublishers()
  cluster.close()
})

function options(fallback) {
  return {
    connectionString: cluster.connectionString,
    defaultTopic: TOPIC,
    maxBufferedBytes: MEMORY,
    retries: { attempts: 2, delay: { min: 200, max: 200 } },
    retryOptions: { minTimeout: 200, maxTimeout: 500 },
    reconnectionDelay: { min: 100, max: 500 },
    batch: { maxWait: 5 },
    fallback: { directory, fsync: 'never', segmentBytes: 5000, ...fallback },
  }
}

/** Of those that are there before an outage, and after it. */
const lastingOptions = () => ({ ...options(), ...OUTAGE_AWARE })

/** Of those that find Kafka. */
const patientOptions = (fallback) => ({ ...options(fallback), ...PATIENT })

function queue(publisher, name, count) {
  for (let i = 0; i < count; i++) publisher.queue(keyOf(name, i), messageOf(name, i))
}

const idsIn = (files) =>
  files.flatMap((file) => readLines(fs.readFileSync(file)).lines.map(({ id }) => id))

/** Ids of all complete lines in the directory's files, which the living may rename or remove meanwhile. */
function idsInFiles() {
  for (;;) {
    const files = fallbackFiles(directory)
    try {
      const ids = idsIn(files)
      if (fallbackFiles(directory).join() === files.join()) return ids
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
  }
}

async function placesInTopic() {
  return placesById(await readTopic(cluster.connectionString, TOPIC))
}

const moreThanOnce = (places) => [...places].filter(([, all]) => all.length > 1).map(([id]) => id)

const untilEmpty = () =>
  until(() => fallbackFiles(directory).length === 0, {
    what: () => `no more files; there are ${fallbackFiles(directory)}`,
  })

/** No lock but those of the living. */
function untilEmptyOfDead(children) {
  const locks = () => fs.readdirSync(directory).filter((name) => name.endsWith('.lock'))
  return until(() => locks().length <= children.length && fallbackFiles(directory).length === 0, {
    what: () => `nothing of the dead; there is ${fs.readdirSync(directory)}`,
  })
}

/** What a kill has torn is kept; nothing else is left. */
function expectNothingButTorn() {
  for (const name of fs.readdirSync(directory)) {
    expect(name).toMatch(/\.log\.rejected$/)
    const text = fs.readFileSync(path.join(directory, name), 'utf8')
    expect(text.indexOf('\n')).toBe(text.length - 1)
    expect(() => JSON.parse(text)).toThrow()
  }
}

/** A publisher that finds no Kafka, writes its messages to files, and ends. */
async function leave(name, count) {
  cluster.brokerDown()
  const publisher = makePublisher(options())
  queue(publisher, name, count)
  await untilState(publisher, 'fallingBack')
  await publisher.end()
  const { fallback, recoveredCnt, unaccountedCnt } = publisher.getStatistics()
  expect([fallback.messages, unaccountedCnt]).toEqual([recoveredCnt + count, 0])
  cluster.brokerUp()
}

describe('two to eight processes, started and killed at random', () => {
  /** Starts and kills some, as it comes. Returns those that are left, at least two. */
  async function stir(rounds, perTick) {
    const children = []
    for (let round = 0; round < rounds; round++) {
      const isFull = children.length === 8
      if (children.length < 2 || (!isFull && random.between(0, 1) === 1)) {
        const child = new Child(`${perTick} ${round}`, lastingOptions(), { perTick })
        await child.until(() => true, 'a start')
        children.push(child)
      } else {
        const [child] = children.splice(random.between(0, children.length - 1), 1)
        await child.until(({ fallback, sentCnt }) => fallback.messages + sentCnt > 50, 'some work')
        await child.kill()
      }
    }
    return children
  }

  test('while Kafka is away: none publishes what another does, and nothing is left behind', async () => {
    cluster.brokerDown()
    const children = await stir(24, 5)
    children.push(new Child('the last one', lastingOptions(), { perTick: 5 }))
    await Promise.all(
      children.map(async (child) => {
        await child.until(({ fallback }) => fallback.messages > 50, 'some work')
        await child.rest()
        await child.until(({ curQueuedCnt }) => curQueuedCnt === 0, 'all in files')
      })
    )
    const inFiles = idsInFiles()
    expect(inFiles.length).toBeGreaterThan(500)
    cluster.brokerUp()
    // They all look for what the dead have left, at the same time.
    await Promise.all(
      children.map((child) => child.until(({ state }) => state === 'publishing', 'Kafka'))
    )
    await untilEmptyOfDead(children)
    const ended = await Promise.all(children.map((child) => child.end()))
    const last = makePublisher(patientOptions())
    await untilEmpty()
    await last.end()

    const places = await placesInTopic()
    expect(inFiles.filter((id) => !places.has(id))).toEqual([])
    expect(moreThanOnce(places)).toEqual([])
    expectNothingButTorn()
    for (const statistics of [...ended, last.getStatistics()]) {
      expect(statistics).toMatchObject({ unaccountedCnt: 0, discardedCnt: { total: 0 } })
    }
  })

  test('while Kafka is there: what a kill repeats is bounded, and nothing is left behind', async () => {
    for (let n = 0; n < 4; n++) await leave(`old ${n}`, 1000)
    const inFiles = idsInFiles()
    expect(inFiles).toHaveLength(4000)
    const children = await stir(24, 1)
    // The others of the 24 rounds started one that another has killed.
    const killed = (24 - children.length) / 2
    for (const id of idsInFiles()) inFiles.push(id)
    const ended = await Promise.all(children.map((child) => child.end()))
    const last = makePublisher(patientOptions())
    await untilEmpty()
    await last.end()

    const places = await placesInTopic()
    expect(inFiles.filter((id) => !places.has(id))).toEqual([])
    const all = [...places.values()].reduce((sum, { length }) => sum + length, 0)
    expect(all - places.size).toBeLessThanOrEqual(killed * WINDOW)
    expectNothingButTorn()
    for (const statistics of [...ended, last.getStatistics()]) {
      expect(statistics).toMatchObject({ unaccountedCnt: 0, discardedCnt: { total: 0 } })
    }
  })
})

test("the living keep their files; those of the dead are another's within seconds", async () => {
  const away = { ...options(), connectionString: '127.0.0.1:1' }
  const child = new Child('child', away, { first: 500 })
  await child.until(({ fallback }) => fallback.messages === 500, '500 lines')
  const itsFiles = fallbackFiles(directory)
  const before = itsFiles.map((file) => fs.readFileSync(file, 'utf8'))

  const other = makePublisher(patientOptions())
  queue(other, 'live', 10)
  await until(() => other.getStatistics().sentCnt === 10)
  // A file that belongs to nobody shows when the directory is looked through.
  const stray = path.join(directory, `fallback-${crypto.randomUUID()}-000001.log`)
  const line = { topic: TOPIC, key: keyOf('stray', 0), value: messageOf('stray', 0) }
  fs.writeFileSync(stray, `${JSON.stringify(line)}\n`)
  await until(() => !fs.existsSync(stray))
  expect(itsFiles.map((file) => fs.readFileSync(file, 'utf8'))).toEqual(before)
  await until(() => other.getStatistics().sentCnt === 11)
  expect(other.getStatistics().recoveredCnt).toBe(1)

  await child.kill()
  const clock = startClock()
  await until(() => other.getStatistics().replay.replayedCnt === 501)
  clock.stop()
  expect(clock.now()).toBeLessThan(15_000)
  await untilEmpty()
  await other.end()
  expect(other.getStatistics()).toMatchObject({
    queueCnt: 10,
    recoveredCnt: 501,
    sentCnt: 511,
    unaccountedCnt: 0,
  })
  const places = await placesInTopic()
  expect(places.size).toBe(511)
  expect(moreThanOnce(places)).toEqual([])
  expect(fs.readdirSync(directory)).toEqual([])
})

test('two publishers in one process do not touch the files of each other', async () => {
  cluster.brokerDown()
  const both = ['one', 'two'].map((name) => {
    const publisher = makePublisher(lastingOptions())
    queue(publisher, name, 300)
    return publisher
  })
  await Promise.all(both.map((publisher) => untilState(publisher, 'fallingBack')))
  await until(() => both.every((publisher) => publisher.getStatistics().fallback.messages === 300))
  cluster.brokerUp()
  await until(() => both.every((publisher) => publisher.getStatistics().sentCnt === 300))
  await untilEmpty()
  await Promise.all(both.map((publisher) => publisher.end()))
  for (const publisher of both) {
    expect(publisher.getStatistics()).toMatchObject({
      recoveredCnt: 0,
      replay: { replayedCnt: 300 },
      fallback: { messages: 0, files: 0 },
      unaccountedCnt: 0,
    })
  }
  const places = await placesInTopic()
  expect(places.size).toBe(600)
  expect(moreThanOnce(places)).toEqual([])
  expect(fs.readdirSync(directory)).toEqual([])
})

describe('what an ended publisher has left', () => {
  test('is published by the next one, which counts it as recovered', async () => {
    await leave('first', 400)
    const next = makePublisher(patientOptions())
    await until(() => next.getStatistics().sentCnt === 400)
    await untilEmpty()
    await next.end()
    expect(next.getStatistics()).toMatchObject({
      queueCnt: 0,
      recoveredCnt: 400,
      replay: { replayedCnt: 400, files: 0 },
      fallback: { messages: 0 },
      unaccountedCnt: 0,
    })
    const places = await placesInTopic()
    expect([places.size, moreThanOnce(places)]).toEqual([400, []])
    expect(fs.readdirSync(directory)).toEqual([])
  })

  test("is moved to 'archive' once it is published, and not published again", async () => {
    for (const name of ['first', 'second']) await leave(name, 100)
    const contents = (folder) =>
      fallbackFiles(folder).map((file) => [path.basename(file), fs.readFileSync(file, 'utf8')])
    const before = contents(directory)
    expect(before.length).toBeGreaterThan(1)
    for (const count of [200, 0]) {
      const next = makePublisher(patientOptions({ replay: { keep: 'archive' } }))
      queue(next, `live ${count}`, 1)
      await until(() => next.getStatistics().sentCnt === count + 1)
      await untilEmpty()
      await next.end()
      expect(next.getStatistics()).toMatchObject({ recoveredCnt: count, unaccountedCnt: 0 })
    }
    const archive = path.join(directory, 'archive')
    expect(contents(archive)).toEqual(before)
    expect(fs.readdirSync(archive)).toHaveLength(before.length)
    expect(fs.readdirSync(directory)).toEqual(['archive'])
    const places = await placesInTopic()
    expect([places.size, moreThanOnce(places)]).toEqual([202, []])
  })

  test('is tidied up: what somebody died over goes, too', async () => {
    await leave('first', 10)
    const unfinished = (ending) => path.join(directory, `fallback-${crypto.randomUUID()}${ending}`)
    const old = unfinished('.lock.new')
    const fresh = unfinished('.lock.new')
    const progress = unfinished('-000001.log.progress.new')
    for (const file of [old, fresh, progress]) fs.writeFileSync(file, '')
    for (const file of [old, progress]) makeOld(file)
    const next = makePublisher(patientOptions())
    await until(() => next.getStatistics().sentCnt === 10)
    await next.end()
    // Somebody may just be making the other lock.
    expect([old, fresh, progress].filter((file) => fs.existsSync(file))).toEqual([fresh])
  })

  test('is left alone where replay is off', async () => {
    await leave('first', 200)
    const contents = () => fallbackFiles(directory).map((file) => fs.readFileSync(file, 'utf8'))
    const before = contents()
    const next = makePublisher(patientOptions({ replay: false }))
    queue(next, 'live', 10)
    await until(() => next.getStatistics().sentCnt === 10)
    expect(next.getStatistics().replay).toMatchObject({ state: 'off', replayedCnt: 0 })
    await next.end()
    expect(next.getStatistics()).toMatchObject({ recoveredCnt: 0, sentCnt: 10, unaccountedCnt: 0 })
    expect(contents()).toEqual(before)
    expect((await placesInTopic()).size).toBe(10)
  })
})
