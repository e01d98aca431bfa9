// Publishers with a fallback directory of their own, and what is needed to look into them.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { KafkaPublisher } = require('../..')
const { until } = require('./until')

/** Options of a publisher that gives no message up because the machine is busy. */
const PATIENT = { retries: { attempts: 60, delay: { min: 1000, max: 1000 } } }

const made = []

/**
 * A publisher that writes its fallback files below the system's temporary directory, and whose log
 * lines are kept instead of printed. `options` are the publisher's own, and win.
 *
 * The publisher comes with two properties of the tests' own:
 * - `lines`: its log lines so far, `{level, text}`;
 * - `directory`: where its fallback files are.
 */
function makePublisher(options) {
  const directory = options.fallback?.directory ?? makeDirectory()
  const lines = []
  const publisher = new KafkaPublisher({
    logger: { logFunction: (level, _clientId, text) => lines.push({ level, text }) },
    ...options,
    fallback: { fsync: 'never', ...options.fallback, directory },
  })
  made.push(publisher)
  return Object.assign(publisher, { lines, directory })
}

const directories = []

/** An empty directory; `endPublishers` deletes it. */
function makeDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-fallback-'))
  directories.push(directory)
  return directory
}

/** For `afterEach`: ends every publisher made here, and deletes what they wrote. */
async function endPublishers() {
  await Promise.all(made.splice(0).map((publisher) => publisher.end()))
  for (const directory of directories.splice(0)) {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** Resolves when the publisher is in this state. */
function untilState(publisher, state) {
  return until(() => publisher.getStatistics().state === state, {
    what: () => `state ${state}; ${JSON.stringify(publisher.getStatistics())}`,
  })
}

/** Resolves when nothing is in memory any more. */
function untilSettled(publisher) {
  return until(() => publisher.queued() === 0, {
    what: () => `an empty queue; ${JSON.stringify(publisher.getStatistics())}`,
  })
}

/** Paths of the fallback files, in the order in which one publisher has written them. */
function fallbackFiles(directory) {
  if (!fs.existsSync(directory)) return []
  return fs
    .readdirSync(directory)
    .filter((name) => /^fallback-[0-9a-f-]{36}(-[0-9a-f-]{36})?-\d{6,}\.log$/.test(name))
    .sort()
    .map((name) => path.join(directory, name))
}

/** The complete lines of all fallback files, parsed, in file order. */
function readFallback(directory) {
  return fallbackFiles(directory).flatMap((file) =>
    completeLines(fs.readFileSync(file, 'utf8')).map((line) => JSON.parse(line))
  )
}

// What is behind the last line break is still being written.
const completeLines = (text) => text.split('\n').slice(0, -1)

module.exports = {
  PATIENT,
  makePublisher,
  makeDirectory,
  endPublishers,
  untilState,
  untilSettled,
  fallbackFiles,
  readFallback,
}
