// `npm run demo`: publishes a steady load, through an outage of all brokers and the replay after it,
// and then proves that each message is in the topic. Exits with 1 if one is not accounted for.

import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { KafkaPublisher } from 'kafka-publisher'
import { runMain } from './command.mjs'
import { HELP, readArguments } from './demo/arguments.mjs'
import { startEmbedded, useReal } from './demo/clusters.mjs'
import { Display } from './demo/display.mjs'
import { Load } from './demo/load.mjs'
import { findMessages, table } from './demo/proof.mjs'

const CALM = 5000
const CONNECT_LIMIT = 15_000
const REPLAY_LIMIT = 60_000
const INTERRUPTED = 130

// The window before messages go to file is the default. What follows is quicker than the defaults
// (which wait up to 10 s between two attempts to reach Kafka again), so that the demo is short.
const QUICK = {
  retryOptions: { minTimeout: 200, maxTimeout: 500 },
  reconnectionDelay: { min: 100, max: 500 },
}
const ABOUT_OPTIONS = `for a quick demo, a lost Kafka is tried again every 0.5 s at least (default: every 10 s);
messages wait 2.8 s for it before they go to file (the default)`

await runMain(async () => {
  const { broker, topic, help } = readArguments()
  if (help) return console.log(HELP)
  const cluster = broker ? await useReal(broker, topic) : startEmbedded(topic)
  try {
    await demo(cluster, topic)
  } finally {
    cluster.close()
  }
})

async function demo(cluster, topic) {
  const signal = interruption()
  const display = new Display()
  const directory = await mkdtemp(path.join(tmpdir(), 'kafka-publisher-demo-'))
  const run = randomUUID()
  console.log(`kafka-publisher: ${cluster.title}, topic ${topic}
fallback files in ${directory}
${ABOUT_OPTIONS}\n`)

  const publisher = new KafkaPublisher({
    connectionString: cluster.bootstrap,
    defaultTopic: topic,
    fallback: { directory },
    logger: {
      logLevel: 3,
      logFunction: (level, _id, ...args) => display.log(level, args.join(' ')),
    },
    ...QUICK,
  })
  const load = new Load(publisher, run)
  display.watch(
    () => sample(publisher.getStatistics()),
    ((2 * CALM + cluster.expectedOutage) / 1000) * Load.perSecond
  )

  const failure = await story(publisher, cluster, display, signal)
  load.stop()
  display.step('ending the publisher')
  await publisher.end()
  display.step('reading the topic back')
  const about = { cluster, topic, directory, run, count: load.count }
  const found = await findMessages(about).catch((error) => {
    display.log('ERROR', `could not be read back: ${error.message}`)
    return null
  })
  display.stop()

  const statistics = publisher.getStatistics()
  const lost = found && Math.max(0, found.missing - statistics.discardedCnt.total)
  console.log(`\n${table({ load, statistics, found, lost })}\n`)
  const proved = lost === 0 && statistics.unaccountedCnt === 0
  await conclude({ proved, found, directory, inFile: statistics.fallback.messages })
  if (!proved || failure) process.exitCode = 1
  if (failure) console.log(failure.message)
  if (signal.aborted) process.exitCode = INTERRUPTED
}

/** The first signal ends the load early, in good order; the second ends the process. */
function interruption() {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM']) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(INTERRUPTED)
      controller.abort()
    })
  }
  return controller.signal
}

/** What the display shows of the statistics. */
function sample({ state, queueCnt, sentCnt, fallback, replay, curQueuedCnt }) {
  return {
    state,
    queued: queueCnt,
    delivered: sentCnt,
    'in file': fallback.messages,
    replayed: replay.replayedCnt,
    'in memory': curQueuedCnt,
  }
}

/** Calm, outage, calm. Returns what went wrong, if anything did. */
async function story(publisher, cluster, display, signal) {
  const pause = (ms) => delay(ms, undefined, { signal })
  const step = (...args) => display.step(...args)
  const ask = (...args) => display.ask(...args)
  const until = async (isSo, what, limit = Infinity) => {
    const deadline = performance.now() + limit
    while (!isSo(publisher.getStatistics())) {
      if (performance.now() > deadline)
        throw new Error(`the publisher was not ${what} within ${limit / 1000} s`)
      await pause(50)
    }
  }
  const untilState = (state, limit) => until((now) => now.state === state, `'${state}'`, limit)
  try {
    step('connecting')
    await untilState('publishing', CONNECT_LIMIT)
    step('publishing', CALM)
    await pause(CALM)
    await cluster.outage({ step, ask, pause, untilState })
    step('publishing again; the files are replayed meanwhile', CALM)
    await pause(CALM)
    await until(({ fallback }) => fallback.messages === 0, 'through with its files', REPLAY_LIMIT)
  } catch (error) {
    if (!signal.aborted) return error
    step('interrupted; once more ends at once')
  }
}

async function conclude({ proved, found, directory, inFile }) {
  if (proved) console.log('Every message is accounted for.')
  else if (found) console.log('MESSAGES ARE UNACCOUNTED FOR.')
  else console.log('The topic could not be read back, so nothing is proved.')
  if (inFile > 0) {
    console.log('Messages in files are replayed by the next publisher with this directory.')
  }
  if (proved) await rm(directory, { recursive: true, force: true })
  console.log(`${directory} is ${proved ? 'removed' : 'kept'}.`)
}
