// A process that misuses the package at random: `child.js SEED DIRECTORY`. What it finds wrong, and how
// it stood when it left, it tells on descriptor 3, a line of JSON each; its parent is hostile.test.js.

const fs = require('node:fs')
const path = require('node:path')
const { KafkaPublisher } = require('../..')
const { MockCluster } = require('../../testing')
const { randomOptions } = require('./options')
const { Random } = require('./random')
const { anything, thrower, STRINGS } = require('./values')

const REPORT = 3
const TURNS = 12
const NOBODY = '127.0.0.1:1'
const POLLUTION = ['x', 'logger', 'partition', 'redirect', 'problem', 'text', 'brokers']
const METHODS = ['queued', 'getStatistics', 'resetStatistics', 'init', 'end', 'drained']

const [seed, directory] = process.argv.slice(2)
const random = new Random(Number(seed))
const publishers = []
let leavingOnPurpose = false
let cluster

const tell = (line) => fs.writeSync(REPORT, `${JSON.stringify(line)}\n`)
const wrong = (what) => tell({ wrong: what })

const textOf = (error) => {
  try {
    return String(error?.stack ?? error)
  } catch {
    return 'something without text'
  }
}
process.on('unhandledRejection', (error) => wrong(`unhandled rejection: ${textOf(error)}`))
process.on('uncaughtException', (error) => {
  if (leavingOnPurpose) process.exit(0)
  wrong(`uncaught exception: ${textOf(error)}`)
  process.exit(0)
})

function spoilPrototypes() {
  if (random.chance(0.3)) Object.prototype[random.of(POLLUTION)] = random.of([1, () => 1])
  if (random.chance(0.1)) Array.prototype.extra = () => {}
}

function startCluster() {
  try {
    cluster = new MockCluster({})
    cluster.createTopic('t', { partitions: 2 })
  } catch (error) {
    wrong(`a MockCluster with good options: ${textOf(error)}`)
  }
}

function make() {
  const reach = {}
  const folder = path.join(directory, String(publishers.length))
  const connectionString = cluster && random.chance(0.5) ? cluster.connectionString : NOBODY
  const { options, isGood } = randomOptions(random, { connectionString, directory: folder, reach })
  try {
    reach.publisher = new KafkaPublisher(options)
    const hasKafka = connectionString !== NOBODY
    publishers.push({ publisher: reach.publisher, folder, isGood, hasKafka, isWaitedFor: false })
  } catch (error) {
    if (isGood) wrong(`the constructor refused good options: ${textOf(error)}`)
  }
}

const mischief = () => random.of(publishers)?.publisher.queue('from toJSON', { nested: true })

function someOptions() {
  const header = () =>
    random.of([...STRINGS, Buffer.from('b'), null, [], anything(random, mischief)])
  const options = {}
  if (random.chance(0.5))
    options.headers = random.of([{ a: header() }, [['a', header()]], header()])
  if (random.chance(0.3)) options.partition = random.of([0, 1, anything(random)])
  if (random.chance(0.3)) options.timestamp = random.of([1e12, new Date(), anything(random)])
  return options
}

function queue(publisher) {
  const topic = random.chance(0.7) ? undefined : random.of(['t', ...STRINGS, anything(random)])
  const key = random.chance(0.6) ? random.of(STRINGS) : anything(random, mischief)
  const message = random.chance(0.5) ? { n: random.below(1000) } : anything(random, mischief)
  const receiver = random.chance(0.8) ? publisher : anything(random)
  try {
    const options = () => random.of([topic, { topic, ...someOptions() }])
    const [method, ...args] = random.of([
      () => ['queue', key, message, ...(topic === undefined ? [] : [options()])],
      () => ['tombstone', key, options()],
      () => [
        'queueRecord',
        random.chance(0.8) ? { key, value: message, topic, ...someOptions() } : message,
      ],
    ])()
    const room = KafkaPublisher.prototype[method].apply(receiver, args)
    if (typeof room !== 'boolean') wrong(`${method}() returned ${typeof room}`)
  } catch (error) {
    wrong(`queue() threw: ${textOf(error)}`)
  }
}

function call(one) {
  const { publisher } = one
  const method = random.of(METHODS)
  const receiver = random.chance(0.7) ? publisher : anything(random)
  try {
    const result = KafkaPublisher.prototype[method].call(receiver)
    // init() may reject, with `retryOptions.retries`; until it settles the process stays.
    if (result instanceof Promise && receiver === publisher) one.isWaitedFor = true
    if (result instanceof Promise) result.catch(() => {})
  } catch (error) {
    if (receiver === publisher) wrong(`${method}() threw: ${textOf(error)}`)
  }
}

function misuseCluster() {
  if (!cluster) return
  const names = Object.getOwnPropertyNames(MockCluster.prototype)
  const name = random.of(
    names.filter((name) => !['constructor', 'connectionString'].includes(name))
  )
  try {
    const result = cluster[name](anything(random), anything(random), anything(random))
    result?.catch?.(() => {})
  } catch {
    // Wrong arguments are refused.
  }
}

function withoutNew() {
  try {
    KafkaPublisher({ connectionString: NOBODY })
    wrong('KafkaPublisher() without new returned')
  } catch (error) {
    if (!(error instanceof TypeError)) wrong(`KafkaPublisher() threw ${textOf(error)}`)
  }
}

function turn() {
  for (let n = random.below(30); n > 0; n--) {
    const one = random.of(publishers)
    if (!one || random.chance(0.05)) make()
    else if (random.chance(0.75)) queue(one.publisher)
    else if (random.chance(0.8)) call(one)
    else if (random.chance(0.1)) withoutNew()
    else misuseCluster()
  }
}

function checkStatistics(one) {
  const { publisher } = one
  const s = publisher.getStatistics()
  const came = s.queueCnt + s.discardedCnt.noTopic + s.recoveredCnt + s.carriedCnt
  const isAt =
    s.curQueuedCnt + s.fallback.messages + s.sentCnt + s.discardedCnt.total + s.handedOverCnt
  if (s.unaccountedCnt !== 0 || came !== isAt + s.replay.rejectedCnt) {
    wrong(`the statistics do not add up: ${JSON.stringify(s)}`)
  }
  return s
}

/** How each publisher stands; asked last, when nothing but a logger queues any more. */
function standing() {
  return publishers.map((one) => {
    const { curQueuedCnt, fallback, discardedCnt } = checkStatistics(one)
    const loses =
      discardedCnt.bufferFull + discardedCnt.fallbackFailed + discardedCnt.fallbackFull > 0
    return {
      folder: one.folder,
      messages: curQueuedCnt + fallback.messages,
      mustBeOnDisk: one.isGood && !one.hasKafka && !loses,
    }
  })
}

async function endAll() {
  await Promise.all(publishers.map(({ publisher }) => publisher.end()))
  for (const one of publishers) {
    const { curQueuedCnt } = checkStatistics(one)
    if (curQueuedCnt !== 0) wrong(`${curQueuedCnt} messages in memory after end()`)
  }
}

async function leave() {
  // Odd options may mean that messages wait for Kafka for days, and end() with them.
  const quick = ['exit', 'throw']
  const how = random.of(
    publishers.every(({ isGood }) => isGood) ? [...quick, 'end', 'natural'] : quick
  )
  if (how === 'end') await endAll()
  if (how === 'natural') {
    for (const { publisher, isWaitedFor } of publishers) if (isWaitedFor) publisher.end()
  }
  tell({ leaving: how, standing: standing() })
  leavingOnPurpose = true
  if (how === 'exit') process.exit(0)
  if (how === 'throw') setImmediate(thrower(random))
}

async function main() {
  spoilPrototypes()
  if (random.chance(0.5)) startCluster()
  make()
  make()
  for (let n = 0; n < TURNS; n++) {
    turn()
    await new Promise((resolve) => setTimeout(resolve, random.below(20)))
  }
  await leave()
}

main().catch((error) => {
  wrong(`the script failed: ${textOf(error)}`)
  process.exit(0)
})
