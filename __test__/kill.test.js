const fs = require('node:fs')
const path = require('node:path')
const { makeOld } = require('./support/aging')
const { Child, killChildren } = require('./support/children')
const { kafkajsClient } = require('./support/client')
const { readTopic } = require('./support/consume')
const { placesById, readLines, seededRandom } = require('./support/numbered')
const { endPublishers, makeDirectory, makePublisher } = require('./support/publisher')
const { TcpProxy } = require('./support/proxy')
const { sharedKafka } = require('./support/shared-kafka')
const { until } = require('./support/until')

// The same seed makes the same choices; what it meets with depends on the machine, too.
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1e6)
const KILLS = 105
// How often it has to meet with something, and how many kills that may take.
const SHAPE = { lines: 3000, away: 20, partly: 5, severalFiles: 20, inFlight: 5 }
const MOST_KILLS = 4 * KILLS
const TOPIC = 'kills'
// Nothing listens there.
const NOWHERE = '127.0.0.1:1'
const MEMORY = 1 << 20
// What the replayer may have on its way counts so much, and one more message may not fit exactly.
const WINDOW = MEMORY / 8
const OVERHEAD = 256
// A key and a value of support/numbered.js have at least so many bytes.
const SHORTEST = 40
const MOST_REPEATED = Math.ceil(WINDOW / (OVERHEAD + SHORTEST)) + 1

const OPTIONS = {
  defaultTopic: TOPIC,
  maxBufferedBytes: MEMORY,
  retryOptions: { minTimeout: 50, maxTimeout: 100 },
  reconnectionDelay: { min: 50, max: 100 },
  batch: { maxWait: 5 },
}

/** What a process finds in its time, and what it queues. */
const LIVES = {
  // It fills files.
  away: { perTick: [10, 25], retries: { attempts: 1, delay: { min: 20, max: 20 } } },
  // It replays them, half of the time beside live messages, which leave it little room.
  there: { perTick: [-5, 5] },
  // First the one, then the other.
  back: { perTick: [20, 60], retries: { attempts: 2, delay: { min: 100, max: 100 } } },
}

/** Resolves after the time, or as the nth change of files with this ending is seen, which is sooner. */
function moment(directory, { afterMs, ending, nth }) {
  return new Promise((resolve) => {
    let seen = 0
    const watcher = fs.watch(directory, (type, file) => {
      if (type === 'rename' && file?.endsWith(ending) && ++seen === nth) done()
    })
    const timer = setTimeout(() => done(), afterMs)
    const done = () => {
      watcher.close()
      clearTimeout(timer)
      resolve(seen)
    }
  })
}

/** Where the heir of a file begins. */
function replayedTo(file) {
  let text
  try {
    text = fs.readFileSync(`${file}.progress`, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return 0
    throw error
  }
  const { base, floors = {} } = JSON.parse(text).progress
  return Math.min(base, floors[TOPIC] ?? base)
}

/** What is in a directory, whenever nobody touches it. */
class Observer {
  #files = new Map()
  /** The time of each line that was seen, by its message's id. */
  lines = new Map()
  /** What was behind the last line break of a file. */
  torn = []

  constructor(directory) {
    this.directory = directory
  }

  look() {
    const names = fs.readdirSync(this.directory).filter((name) => name.endsWith('.log'))
    const left = []
    let partly = 0
    for (const name of names) {
      const file = path.join(this.directory, name)
      const start = replayedTo(file)
      if (start > 0) partly++
      for (const { offset, id } of this.#read(name)) if (offset >= start) left.push(id)
    }
    return { files: names.length, partly, left }
  }

  // Nobody appends to a file whose process is gone. Its name changes, but for this.
  #read(file) {
    const name = file.slice(-'01234567-0123-0123-0123-012345678901-000001.log'.length)
    if (!this.#files.has(name)) {
      const { lines, torn } = readLines(fs.readFileSync(path.join(this.directory, file)))
      this.#files.set(name, lines)
      for (const { id, timestamp } of lines) this.lines.set(id, timestamp)
      if (torn) this.torn.push(torn)
    }
    return this.#files.get(name)
  }

  linesOf(name) {
    return [...this.lines.keys()].filter((id) => id.startsWith(`${name}:`)).length
  }
}

const random = seededRandom(SEED)
const kills = []
let kafka
let proxy
let observer
let last
let messages
let places

function optionsFor(life, directory) {
  return {
    ...OPTIONS,
    retries: LIVES[life].retries,
    // A producer that is not idempotent begins half a second sooner.
    requiredAcks: random.pick([-1, 1]),
    connectionString: life === 'away' ? NOWHERE : proxy.address,
    fallback: {
      directory,
      fsync: random.pick(['never', 'interval', 'always']),
      segmentBytes: random.pick([1000, 20_000, 20_000, 50_000]),
      replay: random.pick([true, { maxMessagesPerSecond: random.between(1000, 10_000) }]),
    },
  }
}

const hasNone = ({ replay }) => replay.state === 'idle' && replay.files === 0
const hasBegun = (counts) => counts.replay.inFlightCnt > 0 || hasNone(counts)
const hasReplayed = (counts) => counts.replay.replayedCnt > 0 || hasNone(counts)

/** One process, from its start to its violent end. */
async function live(number, directory) {
  const life = number % 3 === 0 ? 'away' : random.pick(['away', 'there', 'there', 'back'])
  const perTick = Math.max(0, random.between(...LIVES[life].perTick))
  if (life === 'back') proxy.swallow()
  const child = new Child(`child ${number}`, optionsFor(life, directory), { perTick })
  // A few don't get as far as this.
  const isEarly = random.between(1, 10) === 1
  if (!isEarly) await child.until(() => true, 'a start')
  if (life === 'back') {
    await moment(directory, { afterMs: random.between(200, 500) })
    proxy.recover()
  }
  if (life !== 'away') {
    // Or it is still looking for Kafka.
    await child.until(random.pick([hasBegun, hasReplayed, () => true]), 'work')
  } else if (!isEarly) {
    const lines = random.between(0, 300)
    await child.until(({ filePublisher }) => filePublisher.mesgCnt >= lines, `${lines} lines`)
  }
  await moment(directory, {
    afterMs: random.between(0, random.pick([50, 400])),
    ending: random.pick(['.log', '.progress', '.lock', 'never']),
    nth: random.between(1, 12),
  })
  await child.kill()
  return { child, life }
}

beforeAll(async () => {
  process.stderr.write(`kill.test.js: KILL_SEED=${SEED}\n`)
  kafka = await sharedKafka()
  // So that there is something on its way at many moments.
  proxy = await TcpProxy.start(kafka.bootstrap, { delay: 20 })
  await kafka.createTopic(TOPIC, { partitions: 3 })
  const admin = kafkajsClient(kafka.bootstrap).admin()
  await admin.connect()
  const directory = makeDirectory()
  observer = new Observer(directory)
  // What is met with by a moment depends on the machine's speed.
  for (let number = 0; number < KILLS || (number < MOST_KILLS && !isEnough()); number++) {
    const { child, life } = await live(number, directory)
    const ends = await admin.fetchTopicOffsets(TOPIC)
    kills.push({
      life,
      child,
      ...observer.look(),
      found: observer.linesOf(child.name),
      ends: new Map(ends.map(({ partition, high }) => [partition, Number(high)])),
    })
  }
  await admin.disconnect()
  for (const name of fs.readdirSync(directory)) {
    // Someone who is gone was about to make something.
    if (name.endsWith('.new')) makeOld(path.join(directory, name))
  }

  last = makePublisher({ ...OPTIONS, connectionString: kafka.bootstrap, fallback: { directory } })
  // Its own lock, and none of the dead.
  const locks = () => fs.readdirSync(directory).filter((name) => name.endsWith('.lock'))
  await until(() => observer.look().files === 0 && locks().length <= 1, {
    what: () => `no more files; ${JSON.stringify(last.getStatistics())}`,
  })
  await last.end()
  messages = await readTopic(kafka.bootstrap, TOPIC)
  // Fails on anything that nobody queued.
  places = placesById(messages)
}, 1_800_000)
afterAll(async () => {
  await killChildren()
  await endPublishers()
  await proxy?.stop()
})

/** The kills at which the processes that were to be killed were at work in each way. */
function shape() {
  const count = (condition) => kills.filter(condition).length
  return {
    lines: observer.lines.size,
    away: count(({ life, child }) => life === 'away' && child.statistics),
    partly: count(({ partly }) => partly > 0),
    severalFiles: count(({ files }) => files > 2),
    inFlight: count(({ child }) => child.statistics?.replay.inFlightCnt > 0),
  }
}

const isEnough = () => Object.entries(shape()).every(([name, number]) => number >= SHAPE[name])

/** How many messages were in Kafka at each kill and yet were to be replayed. */
const repeated = () =>
  kills.map(({ left, ends }) => {
    const hasArrived = (id) =>
      places.get(id)?.some(({ partition, offset }) => offset < ends.get(partition))
    return left.filter(hasArrived).length
  })

test('every message that was in a file at any of the kills is in the topic, with its time', () => {
  const { lines } = observer
  expect([...lines.keys()].filter((id) => !places.has(id))).toEqual([])
  const withOtherTimes = [...lines].filter(([id, timestamp]) =>
    places.get(id).some((message) => message.timestamp !== timestamp)
  )
  expect(withOtherTimes).toEqual([])
})

test('every message that the statistics had as written was in a file', () => {
  const away = kills.filter(({ life, child }) => life === 'away' && child.statistics)
  const tooFew = away.filter(({ child, found }) => found < child.statistics.filePublisher.mesgCnt)
  expect(tooFew.map(({ child, found }) => [child.name, found])).toEqual([])
})

test('a kill repeats no more than was on its way', () => {
  expect(Math.max(...repeated())).toBeLessThanOrEqual(MOST_REPEATED)
  const replaying = kills.filter(({ life }) => life !== 'away').length
  expect(messages.length - places.size).toBeLessThanOrEqual(replaying * MOST_REPEATED)
})

test('nothing is left in the directory but half a line that a kill has torn', () => {
  const kept = fs.readdirSync(observer.directory)
  expect(kept.filter((name) => !name.endsWith('.log.rejected'))).toEqual([])
  const rejected = kept.map((name) => fs.readFileSync(path.join(observer.directory, name), 'utf8'))
  const lines = rejected.flatMap((text) => text.split('\n').slice(0, -1))
  expect(lines.map((text) => JSON.parse(text).line).sort()).toEqual(observer.torn.sort())
})

test('the statistics account for everything', () => {
  const counts = kills.flatMap(({ child }) => child.statistics ?? [])
  expect(counts.filter(({ unaccountedCnt }) => unaccountedCnt !== 0)).toEqual([])
  expect(counts.filter(({ discardedCnt }) => discardedCnt.total !== 0)).toEqual([])
  expect(last.getStatistics()).toMatchObject({
    unaccountedCnt: 0,
    discardedCnt: { total: 0 },
    fallback: { files: 0, messages: 0 },
    replay: { messages: 0, bytes: 0 },
  })
})

test('the kills came while files were written, sealed, replayed and deleted', () => {
  const found = {
    ...shape(),
    kills: kills.length,
    duplicates: messages.length - places.size,
    mostRepeated: Math.max(...repeated()),
    bound: MOST_REPEATED,
    torn: observer.torn.length,
    noFiles: kills.filter(({ files }) => files === 0).length,
  }
  process.stderr.write(`kill.test.js: ${JSON.stringify(found)}\n`)
  expect(isEnough()).toBe(true)
})
