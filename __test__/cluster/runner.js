// Runs one scenario: topics, a publisher under load, the fault, the reckoning.

const { setTimeout: delay } = require('node:timers/promises')
const { readTopic } = require('../support/consume')
const { judge } = require('./judge')
const { Publishing } = require('./publishing')

const WARM_UP_MESSAGES = 1000
/** Longer than it may take to recover. */
const AFTERWARDS_MS = 6000
const CATCH_UP_LIMIT = 90_000

const LOAD = { perSecond: 500, keys: 50 }

/** What holds in each scenario, unless it says otherwise. */
const EXPECTED = {
  lost: 0,
  left: 0,
  unordered: 0,
  calmFiled: 0,
  duplicatedUnexplained: 0,
  unaccounted: 0,
  longestMs: 5000,
  recoverMs: 3000,
}

/**
 * @param {object} scenario from scenarios/
 * @param {{network: object, cluster: object}} place
 * @returns {Promise<object>} the row of the table; `failures`: what was expected and did not come
 */
async function runScenario(scenario, place) {
  const begin = Date.now()
  const stage = { ...place, scenario }
  try {
    const row = await play(scenario, stage)
    const expected = { ...EXPECTED, ...scenario.expect }
    // What does not apply here: no number is better than one without a meaning.
    for (const [part, most] of Object.entries(expected)) if (most === null) delete row[part]
    const failures = check(row, expected)
    return { name: scenario.name, what: scenario.what, ...row, seconds: since(begin), failures }
  } catch (error) {
    const failures = [error.stack]
    return { name: scenario.name, what: scenario.what, seconds: since(begin), failures }
  } finally {
    await stage.publishing?.remove()
    await place.network.heal()
    await place.cluster.heal()
  }
}

const since = (begin) => Math.round((Date.now() - begin) / 1000)

async function play(scenario, stage) {
  const { cluster, network } = stage
  await makeTopics(stage)
  await scenario.prepare?.(stage)
  const options = { connectionString: cluster.bootstrap, ...scenario.options?.(stage) }
  stage.publisherHost = await network.publisher(scenario.link)
  stage.publishing = new Publishing(options, stage.publisherHost)
  const { publishing } = stage
  const load = { ...LOAD, ...scenario.load }
  publishing.load(stage.topics, load)
  if (scenario.warmUp !== false) {
    await publishing.until(({ sentCnt }) => sentCnt >= WARM_UP_MESSAGES, 'a warm-up', 120_000)
  }
  const marks = { brokenAt: Date.now(), healedAt: null }
  stage.wait = (seconds) => delay(seconds * 1000)
  stage.healed = () => {
    marks.healedAt = Date.now()
  }
  await scenario.run(stage)
  marks.healedAt ??= Date.now()
  await delay(AFTERWARDS_MS)
  publishing.stopLoad()
  // What is left then is counted as left.
  await publishing.until(isThrough, 'everything in Kafka', CATCH_UP_LIMIT).catch(() => {})
  const caughtUpMs = Date.now() - marks.healedAt
  await publishing.end()
  return { ...(await reckon(stage, marks)), caughtUpMs, ...logOf(publishing, marks) }
}

const isThrough = ({ curQueuedCnt, fallback }) => curQueuedCnt + fallback.messages === 0

async function makeTopics(stage) {
  const { name, topics = {} } = stage.scenario
  const wanted = { a: {}, b: {}, c: {}, ...topics }
  const run = Date.now().toString(36)
  stage.createTopic = (topic, options = {}) => {
    // The broker's own time, which tells when a message came.
    const config = { 'message.timestamp.type': 'LogAppendTime', ...options.config }
    return stage.cluster.createTopic(topic, { ...options, config })
  }
  stage.topics = []
  for (const [suffix, options] of Object.entries(wanted)) {
    if (options === null) continue
    const topic = `${name}-${suffix}-${run}`
    await stage.createTopic(topic, options)
    stage.topics.push(topic)
  }
  const calm = (scenario) => (scenario.calm ?? []).map((suffix) => `${name}-${suffix}-${run}`)
  const names = calm(stage.scenario)
  stage.isCalm = (topic) => names.includes(topic)
}

async function reckon({ topics, cluster, publishing, isCalm, gone = {} }, { healedAt }) {
  const { counts } = publishing.last
  const read = {}
  for (const topic of topics) read[topic] = await readTopic(cluster.bootstrap, topic)
  const found = judge({ counts, read, files: publishing.files, isCalm, gone })
  return {
    ...found,
    duplicatedUnexplained: Math.max(0, found.duplicatedLive - onTheirWay(publishing.lines)),
    unaccounted: publishing.unaccounted,
    outages: publishing.states.filter(({ state }) => state === 'fallingBack').length,
    filedPercent: (100 * found.filed) / found.messages,
    // The last message that still took the way through a file tells when it was over.
    recoverMs: Math.max(0, found.lastFiled - healedAt),
  }
}

/** Messages that were on their way when librdkafka's were taken back: they may be there twice. */
function onTheirWay(lines) {
  const counts = lines.map(({ text }) => /\bon_their_way=(\d+)/.exec(text)?.[1] ?? 0)
  return counts.reduce((sum, count) => sum + Number(count), 0)
}

function logOf({ lines, states }, { brokenAt }) {
  const seconds = (at) => `${((at - brokenAt) / 1000).toFixed(1)} s`
  return {
    states: states.map(({ at, state }) => `${seconds(at)} ${state}`),
    log: lines
      .filter(({ level }) => level !== 'DEBUG')
      .map(({ at, level, text }) => `${seconds(at)} ${level} ${text}`),
  }
}

function check(row, expected) {
  return Object.entries(expected)
    .filter(
      ([part, most]) => most !== null && row[part] !== undefined && Math.abs(row[part]) > most
    )
    .map(
      ([part, most]) => `${part}: ${Math.round(row[part] * 100) / 100}, at most ${most} expected`
    )
}

module.exports = { runScenario }
