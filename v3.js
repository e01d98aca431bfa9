// kafka-publisher 3.2.0's class on this engine: its options, methods, bytes on the wire and statistics. Parses on
// Node.js 8.

const { KafkaPublisher: Publisher } = require('./index')
const { asIn3 } = require('./lib/deliveries')

const INNER = Symbol('inner')

/** As 3.2.0 had them. */
const defaultOptions = {
  connectionString: undefined,
  defaultTopic: undefined,
  producer: { 'message.timeout.ms': 10100, dr_cb: true, event_cb: true },
  producerPollIntervalMs: 50,
  consecutiveKafkaErrorCntReconnectThreshold: 10,
  kafkaReadyOrErrorOrTimeoutMs: 60000,
  kafkaReadyOrErrorOrTimeoutPollMs: 100,
  retryOptions: {
    retries: null,
    forever: true,
    factor: 2,
    minTimeout: 1000,
    maxTimeout: 10000,
    randomize: true,
  },
  fallback: { instanceId: undefined, enabled: true },
  logging: { name: 'kafka-publisher', prettyPrint: false, formatters: {} },
}

/** What 3.2.0 had beside them. */
const FALLBACK = {
  directory: 'kafkaFallbackLogs',
  retryOptions: { retries: 2, factor: 2, minTimeout: 100, maxTimeout: 2000, randomize: true },
  keepRefused: true,
}

/** Levels of pino, as numbers of ours. */
const LEVELS = { silent: 0, fatal: 1, error: 1, warn: 2, info: 3, debug: 4, trace: 5 }

const isObject = (value) => typeof value === 'object' && value !== null

/** Own properties of both; objects within are merged, as 3.2.0 did. */
function merge(defaults, given) {
  const merged = Object.assign({}, defaults)
  for (const name of Object.keys(given || {})) {
    const value = given[name]
    const isPlain = isObject(value) && Object.getPrototypeOf(value) === Object.prototype
    merged[name] = isPlain && isObject(merged[name]) ? merge(merged[name], value) : value
  }
  return merged
}

/** The one place that turns options of 3.2.0 into those of 4. */
function optionsOf3(options) {
  const producer = Object.assign({}, options.producer)
  const clientId = producer['client.id'] || 'rdkafka'
  delete producer['client.id']
  const ours = {
    defaultTopic: options.defaultTopic,
    clientId,
    keyEncoding: 'raw',
    batch: { size: 1000000, maxWait: 5 },
    producer,
    retryOptions: options.retryOptions,
    fallback: merge(FALLBACK, options.fallback),
    logger: loggerOf(options.logging),
  }
  for (const name of [
    'connectionString',
    'ssl',
    'maxBufferedBytes',
    'brokerRedirection',
    'reconnectionDelay',
    'oauthToken',
  ]) {
    if (options[name] !== undefined) ours[name] = options[name]
  }
  return ours
}

/** `logging`: a logger, or options of pino. */
function loggerOf(logging) {
  if (!isObject(logging)) return { logLevel: LEVELS.info }
  if (typeof logging.error === 'function') return logging
  if (logging.enabled === false) return { logLevel: LEVELS.silent }
  const { prettyPrint, ...pinoOptions } = logging
  let pino
  try {
    pino = require('pino')
  } catch (_error) {
    const level = LEVELS[logging.level === undefined ? 'info' : logging.level]
    return { logLevel: level === undefined ? LEVELS.info : level }
  }
  const logger = pino(pinoOptions)
  if (prettyPrint)
    logger.warn('option logging.prettyPrint is ignored: give a pino logger as logging')
  return logger
}

class KafkaPublisher {
  constructor(given) {
    if (!isObject(given)) throw new Error('KafkaPublisher: options must be set')
    const options = merge(defaultOptions, given)
    const ours = optionsOf3(options)
    Object.defineProperty(this, 'options', {
      value: options,
      configurable: true,
      enumerable: true,
      writable: true,
    })
    Object.defineProperty(this, INNER, {
      value: { publisher: new Publisher(ours), ours, hasEnded: false, number: 0 },
    })
  }

  init() {
    return this[INNER].publisher.init()
  }

  connect() {
    const inner = this[INNER]
    if (inner.hasEnded) {
      inner.publisher = new Publisher(inner.ours)
      inner.hasEnded = false
    }
    return inner.publisher.init()
  }

  disconnect() {
    const inner = this[INNER]
    inner.hasEnded = true
    return inner.publisher.end()
  }

  shutdown() {
    return this.disconnect()
  }

  queue(key, value, topic, callback) {
    const inner = this[INNER]
    const wireKey = typeof key === 'number' ? String(key) : key
    // 3.x took no object as a key.
    const refused = isObject(wireKey) ? undefined : wireKey
    const options = { topic: topic === null ? undefined : topic }
    if (typeof callback === 'function') {
      options.onDelivery = reporting(callback, refused, inner.number)
    }
    inner.number++
    inner.publisher.queue(refused, value, options)
  }

  queueMessages(messages) {
    for (const { key, message, topic } of messages) this.queue(key, message, topic)
  }

  pending() {
    return this[INNER].publisher.queued()
  }

  getStatistics() {
    return statisticsOf3(this[INNER].publisher.getStatistics())
  }

  resetStatistics() {
    this[INNER].publisher.resetStatistics()
  }
}

/** The report of a message as node-rdkafka has it. */
function reporting(callback, key, opaque) {
  return asIn3((error, receipt) => {
    if (error) return callback(error)
    const { topic, partition, offset, timestamp, size } = receipt
    callback(null, { topic, partition, offset, key: Buffer.from(key), opaque, timestamp, size })
  })
}

/** The one place that turns statistics of 4 into those of 3.2.0. */
function statisticsOf3(statistics) {
  const { discardedCnt, filePublisher, replay, state } = statistics
  const live = statistics.sentCnt - replay.replayedCnt
  const refused = discardedCnt.refused + replay.rejectedCnt
  return {
    mesgCnt: statistics.queueCnt + discardedCnt.noTopic,
    queueCnt: live + refused + statistics.inFlightCnt,
    ackSuccessCnt: live,
    ackErrorCnt: refused,
    lastStatsReset: statistics.lastReset,
    filePublisher: Object.assign({ readySeq: 0 }, filePublisher),
    kafkaReady: statistics.kafkaReady,
    consecutiveKafkaErrorCnt: statistics.kafkaReady ? 0 : statistics.backgroundRetries,
    kafkaEventErrorCnt: statistics.errorCnt - discardedCnt.total,
    lastKafkaEventError: statistics.lastError === undefined ? null : statistics.lastError,
    initExecuting: state === 'connecting',
    connExecuting: state === 'connecting' || state === 'fallingBack',
  }
}

exports.KafkaPublisher = KafkaPublisher
exports.defaultOptions = defaultOptions
