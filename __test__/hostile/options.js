// Random options: most are good, so that most publishers come to life; some are anything at all.

const { anything, thrower, NUMBERS } = require('./values')

/** Paths of options, and what makes a good value of each. */
const GOOD = {
  defaultTopic: () => 't',
  requiredAcks: (random) => random.of([-1, 0, 1]),
  timeout: () => 1000,
  'retries.attempts': (random) => random.of([1, 2, 7]),
  'retries.delay.min': () => 10,
  'retries.delay.max': () => 100,
  'batch.size': (random) => random.of([0, 1000, 16384]),
  'batch.maxWait': () => 10,
  codec: (random) => random.of([0, 'gzip', 'zstd']),
  clientId: () => 'hostile',
  keyEncoding: (random) => random.of(['json', 'raw']),
  maxBufferedBytes: (random) => random.of([65_536, 1 << 20, 64 << 20]),
  reconnectionDelay: () => ({ min: 10, max: 100 }),
  retryOptions: () => ({ retries: 2, minTimeout: 10, maxTimeout: 100 }),
  'fallback.fsync': (random) => random.of(['never', 'interval', 'always']),
  'fallback.segmentBytes': () => 65_536,
  'fallback.fileMode': () => 0o600,
  'fallback.retryOptions': () => ({ retries: 2, minTimeout: 10, maxTimeout: 100 }),
  'producer.linger.ms': () => '1',
  'ssl.rejectUnauthorized': () => true,
}

const ODD_PATHS = [
  ...Object.keys(GOOD),
  ...['logger', 'partitioner', 'brokerRedirection', 'producer', 'fallback', 'fallback.replay'],
  ...['ssl', 'ssl.ca', 'retries', 'unknown', 'fallback.unknown', 'retries.delay', 'batch'],
  ...['reconnectionDelay.min', 'reconnectionDelay.max', 'retryOptions.minTimeout'],
]

function assign(target, path, value) {
  // Names of producer properties have dots of their own.
  const producer = path.startsWith('producer.')
  const names = producer ? ['producer', path.slice('producer.'.length)] : path.split('.')
  const last = names.pop()
  try {
    let object = target
    for (const name of names) {
      if (typeof object[name] !== 'object' || object[name] === null) object[name] = {}
      object = object[name]
    }
    object[last] = value
  } catch {
    // A hostile value sits where a section belongs.
  }
}

function logger(random, reach) {
  const fail = thrower(random)
  const harmless = () => {}
  return random.of([
    () => undefined,
    () => ({ logLevel: 0 }),
    () => ({ logFunction: harmless }),
    () => ({ logFunction: fail }),
    () => ({ error: fail, warn: fail, info: harmless, debug: harmless }),
    () => ({ logFunction: () => reach.publisher?.queue('from the logger', { logged: true }) }),
    () => ({ logFunction: () => reach.publisher?.queue(null, {}) }),
    () => ({ logFunction: () => reach.publisher?.getStatistics() }),
    () => ({ logFunction: () => reach.publisher?.end().then(harmless, harmless) }),
  ])()
}

function partitioner(random) {
  const fail = thrower(random)
  const partition = random.of([
    () => 0,
    () => 1e9,
    () => -1,
    () => anything(random),
    fail,
    () => Promise.reject(new Error('rejected on purpose')),
    () => new Promise(() => {}),
    () => Object.defineProperty({}, 'then', { get: fail }),
    (_topic, partitions) => {
      partitions.length = 0
      return 0
    },
  ])
  return { partition }
}

/**
 * Options for one publisher.
 *
 * @param {object} reach its property `publisher`, once set, is what the loggers reach
 * @returns {{options: object, isGood: boolean}} `isGood`: the constructor must take them, and all that
 *   is accepted must be found on disk
 */
function randomOptions(random, { connectionString, directory, reach }) {
  const options = { connectionString, defaultTopic: 't', fallback: { directory } }
  for (const [path, good] of Object.entries(GOOD)) {
    if (random.chance(0.2)) assign(options, path, good(random))
  }
  const log = logger(random, reach)
  if (log !== undefined) options.logger = log
  if (random.chance(0.2)) options.partitioner = partitioner(random)
  if (random.chance(0.2)) {
    options.brokerRedirection = random.of([thrower(random), () => anything(random), () => null])
  }
  const isGood = random.chance(0.6)
  for (let n = isGood ? 0 : 1 + random.below(3); n > 0; n--) {
    const value = random.chance(0.5) ? random.of(NUMBERS) : anything(random)
    assign(options, random.of(ODD_PATHS), value)
  }
  return { options, isGood }
}

module.exports = { randomOptions }
