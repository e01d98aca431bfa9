// What the promises share: publishers and clusters that are cleaned up, fallback files, waiting.

const childProcess = require('child_process')
const fs = require('fs')
const os = require('os')
const path = require('path')

const PACKAGE = path.resolve(process.argv[2] || path.join(__dirname, '..', '..'))
const { KafkaPublisher } = require(PACKAGE)
const { MockCluster } = require(path.join(PACKAGE, 'testing.js'))

// Many times what anything takes, also under valgrind or on a busy machine.
const TIME_LIMIT = 150000
const TOPIC = 'conformance'

/** Quick probes, so that an outage is soon over, and a minute until a message is given up. */
const PATIENT = {
  retries: { attempts: 60, delay: { min: 1000, max: 1000 } },
  batch: { maxWait: 10 },
  retryOptions: { minTimeout: 100, maxTimeout: 200 },
  reconnectionDelay: { min: 50, max: 100 },
}

/** The same with a retry window of two seconds, so that an outage is soon noticed. */
const IMPATIENT = Object.assign({}, PATIENT, {
  retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
})

const versions = process.versions
const runtime = versions.bun
  ? `Bun ${versions.bun}`
  : versions.deno
    ? `Deno ${versions.deno}`
    : `Node.js ${versions.node}`

const publishers = []
const clusters = []
const directories = []

/** A publisher whose log is in `lines` and whose fallback files are in `directory`. */
function publisherOf(cluster, options) {
  const directory = makeDirectory()
  const lines = []
  const defaults = {
    connectionString: cluster.connectionString,
    defaultTopic: TOPIC,
    logger: { logFunction: (level, clientId, text) => lines.push({ level, clientId, text }) },
    fallback: { directory, fsync: 'never' },
  }
  const publisher = new KafkaPublisher(Object.assign({}, PATIENT, defaults, options))
  publishers.push(publisher)
  return Object.assign(publisher, { lines, directory })
}

function startCluster(options) {
  const cluster = new MockCluster(Object.assign({ brokers: 1 }, options))
  clusters.push(cluster)
  return cluster
}

function makeDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-conformance-'))
  directories.push(directory)
  return directory
}

async function cleanUp() {
  await Promise.all(publishers.splice(0).map((publisher) => publisher.end()))
  for (const cluster of clusters.splice(0)) cluster.close()
  for (const directory of directories.splice(0)) {
    for (const name of fs.readdirSync(directory)) fs.unlinkSync(path.join(directory, name))
    fs.rmdirSync(directory)
  }
}

/** Names of what is in the directory of fallback files. */
const filesIn = (directory) => (fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [])

/** All lines of its fallback files, parsed. */
function linesIn(directory) {
  const lines = []
  for (const name of filesIn(directory).filter((file) => /\.log$/.test(file))) {
    const text = fs.readFileSync(path.join(directory, name), 'utf8')
    for (const line of text.split('\n').slice(0, -1)) lines.push(JSON.parse(line))
  }
  return lines
}

/** Resolves when the condition, asked every 10 ms, is true. */
async function until(condition, what) {
  const deadline = Date.now() + TIME_LIMIT / 2
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const untilState = (publisher, state) =>
  until(
    () => publisher.getStatistics().state === state,
    () => `${state}; the state is ${publisher.getStatistics().state}`
  )

const untilSettled = (publisher) =>
  until(
    () => publisher.queued() === 0,
    () => `an empty memory; it holds ${publisher.queued()}`
  )

/** Resolves when such a line has come to its logger. */
const untilLogged = (lines, isIt) =>
  until(
    () => lines.some(isIt),
    () => `a log line; there are ${JSON.stringify(lines)}`
  )

/** Runs one of ours in a process of its own on the same runtime; resolves with how it ended. */
function runScript(file, args) {
  const flags = versions.deno ? ['run', '--allow-all'] : []
  const child = childProcess.spawn(
    process.execPath,
    flags.concat(path.join(__dirname, file), PACKAGE, args),
    { stdio: ['ignore', 'ignore', 'pipe'] }
  )
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, errors }))
  })
}

async function inTime(promise) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it took too long')), TIME_LIMIT)
  })
  try {
    await Promise.race([promise(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** The law that README's "Statistics" states. */
function sumsUp(statistics) {
  const { queueCnt, recoveredCnt, carriedCnt, curQueuedCnt, sentCnt } = statistics
  const { discardedCnt, fallback, unaccountedCnt } = statistics
  return (
    unaccountedCnt === 0 &&
    queueCnt + discardedCnt.noTopic + recoveredCnt + carriedCnt ===
      curQueuedCnt + fallback.messages + sentCnt + discardedCnt.total
  )
}

const numbers = (count) => Array.from({ length: count }, (_item, i) => i)
const valuesOf = (messages) => messages.map((message) => JSON.parse(message.value.toString()))
const sorted = (list) => list.slice().sort((a, b) => a - b)

module.exports = {
  KafkaPublisher,
  MockCluster,
  TOPIC,
  IMPATIENT,
  runtime,
  publisherOf,
  startCluster,
  makeDirectory,
  cleanUp,
  filesIn,
  linesIn,
  until,
  untilState,
  untilSettled,
  untilLogged,
  runScript,
  inTime,
  sumsUp,
  numbers,
  valuesOf,
  sorted,
}
