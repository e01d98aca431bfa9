// Files that wait to be replayed: made as an earlier process left them, watched until they are gone.

const { randomUUID } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { fallbackFiles } = require('./publisher')
const { until } = require('./until')

/** Options that make recovery and replay begin soon. Messages are given up after 1.5 s. */
const SOON = {
  batch: { maxWait: 5 },
  retries: { attempts: 2, delay: { min: 500, max: 1000 } },
  reconnectionDelay: { min: 50, max: 200 },
  retryOptions: { minTimeout: 100, maxTimeout: 300 },
}

/** The line of a message, without its newline. `key` and `value` are JSON text. */
function lineOf({ topic = 't', key = '"k"', value, timestamp = Date.now() }) {
  return `{"topic":${JSON.stringify(topic)},"key":${key},"value":${value},"timestamp":${timestamp}}`
}

/** Lines of `{"i":…}` with `from` <= i < `to`, each with its newline. */
function numberedLines(from, to, options = {}) {
  let text = ''
  for (let i = from; i < to; i++) text += `${lineOf({ ...options, value: `{"i":${i}}` })}\n`
  return text
}

/**
 * Writes a file as a process that is no more has left it, and returns its path.
 *
 * @param {string} directory
 * @param {string | Buffer} content
 * @param {{instance?: string, sequence?: number}} [name]
 */
function leaveFile(directory, content, { instance = randomUUID(), sequence = 1 } = {}) {
  const name = `fallback-${instance}-${String(sequence).padStart(6, '0')}.log`
  const file = path.join(directory, name)
  fs.writeFileSync(file, content)
  leaveLock(directory, instance)
  return file
}

/** The lock of a process of this machine that is no more: without one, nobody knows whose a file is. */
function leaveLock(directory, instance) {
  const text = JSON.stringify({ host: os.hostname(), boot: bootId(), pid: 1, beat: 1 })
  fs.writeFileSync(path.join(directory, `fallback-${instance}.lock`), `${text}\n`)
}

function bootId() {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The entries of all `.rejected` files in the directory, in the order of their files. */
function rejectsIn(directory) {
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.log.rejected'))
    .sort()
    .flatMap((name) => fs.readFileSync(path.join(directory, name), 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line))
}

/** The bytes of the lines in all `.rejected` files of the directory, each with its newline. */
function rejectedBytes(directory) {
  const newline = Buffer.from('\n')
  return Buffer.concat(
    rejectsIn(directory).flatMap(({ line, base64 }) => [
      base64 === undefined ? Buffer.from(line) : Buffer.from(base64, 'base64'),
      newline,
    ])
  )
}

/** Resolves when nothing is in memory, and no file is left that waits to be replayed. */
function untilReplayed(publisher) {
  return until(
    () => {
      const { curQueuedCnt, fallback, replay } = publisher.getStatistics()
      const counted = curQueuedCnt + fallback.messages + fallback.files + replay.files
      return counted === 0 && fallbackFiles(publisher.directory).length === 0
    },
    {
      what: () => `all files to be replayed; ${JSON.stringify(publisher.getStatistics())}`,
    }
  )
}

/**
 * Looks at the statistics every few milliseconds, from now on.
 *
 * @returns {{all: object[], stop: () => object[]}} what was seen; `stop` returns those that do not
 *   add up
 */
function sampleStatistics(publisher, intervalMs = 5) {
  const all = []
  const look = () => all.push(publisher.getStatistics())
  look()
  const timer = setInterval(look, intervalMs)
  return {
    all,
    stop() {
      clearInterval(timer)
      look()
      return all.filter((statistics) => unaccounted(statistics) !== 0)
    },
  }
}

/** The conservation law, reckoned here and not by the publisher. */
function unaccounted(statistics) {
  const { queueCnt, recoveredCnt, carriedCnt, curQueuedCnt, sentCnt } = statistics
  const { discardedCnt, fallback, replay, handedOverCnt } = statistics
  const came = queueCnt + discardedCnt.noTopic + recoveredCnt + carriedCnt
  const isAt =
    curQueuedCnt +
    fallback.messages +
    sentCnt +
    discardedCnt.total +
    replay.rejectedCnt +
    handedOverCnt
  return Math.abs(came - isAt) + Math.abs(statistics.unaccountedCnt)
}

/** How often a log line was written, those counted that were not shown because they were many. */
function timesLogged(publisher, text) {
  return publisher.lines
    .filter((line) => line.text.includes(text))
    .reduce((sum, line) => {
      const more = line.text.match(/\(and (\d+) more like it\)$/)
      const hidden = line.text.match(/\((\d+) like it were not shown\)$/)
      return sum + (hidden ? Number(hidden[1]) : 1 + Number(more?.[1] ?? 0))
    }, 0)
}

module.exports = {
  SOON,
  lineOf,
  numberedLines,
  leaveFile,
  leaveLock,
  rejectsIn,
  rejectedBytes,
  untilReplayed,
  sampleStatistics,
  unaccounted,
  timesLogged,
}
