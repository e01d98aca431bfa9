// The class KafkaPublisher: a thin one, around a publisher of the addon. Parses on Node.js 8.

const native = require('./load')
const { split } = require('./lib/callbacks')
const { abortable } = require('./lib/abort')
const { Events } = require('./lib/events')
const { Deliveries, asIn3, callbackOf } = require('./lib/deliveries')
const { askWith } = require('./lib/token')
const { writableOf } = require('./lib/writable')
const { partsOf, tombstoneOf, rawOf, KEY_IS_JSON: RECORD_KEY_IS_JSON } = require('./lib/record')
const { stringify, encodeKey, encodeValue, describe } = require('./lib/text')

const addon = native.publisher

// Properties of a publisher that nobody sees: the addon's functions that take a message, and the rest.
const QUEUE = Symbol('queue')
const RECORD = Symbol('record')
const PUBLISHER = Symbol('publisher')

// What `queueText` is told of a key and a text that are not simply a string and a message's JSON.
const KEY_IS_JSON = 1
const BAD_KEY = 2
const BAD_VALUE = 3
const BAD_OPTIONS = 4

class KafkaPublisher {
  constructor(options) {
    const parts = split(options)
    const deliveries = new Deliveries(parts.defaultTopic)
    const events = new Events(this)
    parts.callbacks.settle = deliveries.settle
    parts.callbacks.news = events.hear
    if (parts.oauthToken) {
      parts.callbacks.token = askWith(parts.oauthToken, (answer) => addon.tokenCame(handle, answer))
    }
    const handle = addon.start(parts.options, parts.callbacks)
    const hide = (name, value) =>
      Object.defineProperty(this, name, Object.assign(Object.create(null), { value }))
    const functions = addon.queueFunctions(handle)
    hide(QUEUE, functions[0])
    hide(RECORD, functions[1])
    // The addon holds the callbacks weakly unless there are messages in memory: this keeps them.
    // For `kafka-publisher/opentelemetry`.
    const { defaultTopic, clientId } = parts
    hide(Symbol.for('kafka-publisher.settings'), { defaultTopic, clientId })
    hide(PUBLISHER, {
      handle,
      callbacks: parts.callbacks,
      deliveries,
      events,
      failed: 0,
      hasWarned: false,
    })
    // Who listens to a channel may begin to at any time.
    if (events.channels) addon.listen(handle)
  }

  queue(key, message, topic, callback) {
    try {
      const queueText = this[QUEUE]
      if (typeof callback === 'function') return queueAsIn3(this, key, message, topic, callback)
      if (typeof topic === 'object' && topic !== null) {
        return queueParts(this, partsOf(topic, key, message))
      }
      let text
      let error
      // Called from here, JSON.stringify is compiled code calling compiled code; called from the
      // addon it costs a fifth of a message more.
      if (typeof message === 'object' && message !== null) {
        try {
          text = stringify(message)
        } catch (thrown) {
          error = { thrown }
        }
      }
      if (typeof text === 'string' && typeof key === 'string') {
        const room = topic === undefined ? queueText(key, text) : queueText(key, text, topic)
        // Null: the key needs to be escaped.
        if (room !== null) return room === undefined
      }
      return queueOdd(queueText, key, message, topic, text, error)
    } catch (error) {
      return failed(this, error)
    }
  }

  tombstone(key, topic) {
    try {
      return queueParts(this, tombstoneOf(optionsOf(topic), key))
    } catch (error) {
      return failed(this, error)
    }
  }

  queueRecord(record) {
    try {
      return queueParts(this, rawOf(record))
    } catch (error) {
      return failed(this, error)
    }
  }

  publish(key, message, topic) {
    return new Promise((resolve, reject) => {
      const make = () => partsOf(optionsOf(topic), key, message)
      promise(this, 'publish', make, resolve, reject)
    })
  }

  publishRecord(record) {
    return new Promise((resolve, reject) => {
      promise(this, 'publishRecord', () => rawOf(record), resolve, reject)
    })
  }

  init(options) {
    return waiting(this, 'init', options)
  }

  end(options) {
    const handle = handleOf(this, 'end')
    const timeout = options === undefined || options === null ? undefined : options.timeoutMs
    const ended = addon.end(handle, this, timeoutOf(handle, timeout))
    const deliveries = this[PUBLISHER].deliveries
    // What was told before is settled already.
    if (deliveries.count > 0) ended.then(() => deliveries.end())
    return ended
  }

  drained(options) {
    return waiting(this, 'drained', options)
  }

  shutdown() {
    return aliased(this, 'shutdown', 'end')
  }

  disconnect() {
    return aliased(this, 'disconnect', 'end')
  }

  connect() {
    return aliased(this, 'connect', 'init')
  }

  pending() {
    return aliased(this, 'pending', 'queued')
  }

  on(name, listener) {
    return listening(this, 'on', name, listener)
  }

  once(name, listener) {
    return listening(this, 'once', name, listener)
  }

  off(name, listener) {
    return listening(this, 'removeListener', name, listener)
  }

  addListener(name, listener) {
    return listening(this, 'on', name, listener)
  }

  removeListener(name, listener) {
    return listening(this, 'removeListener', name, listener)
  }

  listenerCount(name) {
    handleOf(this, 'listenerCount')
    const emitter = this[PUBLISHER].events.emitter
    return emitter ? emitter.listenerCount(name) : 0
  }

  writable(options) {
    return writableOf(this, options)
  }

  queued() {
    return addon.queued(handleOf(this, 'queued'))
  }

  getStatistics() {
    return JSON.parse(addon.statistics(handleOf(this, 'getStatistics')))
  }

  resetStatistics() {
    addon.resetStatistics(handleOf(this, 'resetStatistics'))
  }
}

// `await using kp = new KafkaPublisher(…)`, where the runtime knows of it.
if (typeof Symbol.asyncDispose === 'symbol') {
  Object.defineProperty(KafkaPublisher.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    value() {
      return this.end()
    },
  })
}

/** What 3.x called otherwise; said once a publisher, as a service may live long without being changed. */
function aliased(publisher, method, name) {
  warnOnce(publisher, method + '()')
  return publisher[name]()
}

/** With a callback as the fourth argument, which 3.x had. */
function queueAsIn3(publisher, key, message, topic, callback) {
  warnOnce(publisher, 'queue() with a callback')
  const options = Object.assign({}, optionsOf(topic === null ? undefined : topic))
  options.onDelivery = asIn3(callback)
  return queueParts(publisher, partsOf(options, key, message))
}

function warnOnce(publisher, what) {
  const handle = handleOf(publisher, what)
  const inner = publisher[PUBLISHER]
  if (inner.hasWarned) return
  inner.hasWarned = true
  addon.warn(handle, what + ' is of kafka-publisher 3: use kafka-publisher/v3, or change the call')
}

function listening(publisher, method, name, listener) {
  const handle = handleOf(publisher, method)
  publisher[PUBLISHER].events.listeners()[method](name, listener)
  addon.listen(handle)
  return publisher
}

/** `init()` or `drained()`, which a signal may end. */
function waiting(publisher, method, options) {
  const handle = handleOf(publisher, method)
  return abortable(
    options,
    (id) => addon[method](handle, publisher, id),
    (id) => addon.forget(handle, id)
  )
}

/** How long `end()` may take. It never fails for a number that is none: messages are at stake. */
function timeoutOf(handle, timeout) {
  if (timeout === undefined || timeout === null) return undefined
  if (typeof timeout === 'number' && timeout >= 0) return timeout
  addon.warn(handle, 'end() got a timeoutMs that is no number from 0; it takes its time')
  return undefined
}

const optionsOf = (topic) => (typeof topic === 'object' && topic !== null ? topic : { topic })

/** Settles a promise with what becomes of a message. */
function promise(publisher, method, make, resolve, reject) {
  handleOf(publisher, method)
  const { deliveries } = publisher[PUBLISHER]
  let number = 0
  try {
    const parts = make()
    number = deliveries.add(parts.topic, resolve, reject)
    if (number === 0) throw new Error('too many promises are pending')
    if (parts.onDelivery && !parts.problem) {
      parts.problem = {
        of: 'options',
        text: method + '() gives a promise, and takes no onDelivery',
      }
    }
    put(publisher, parts, number)
  } catch (error) {
    failed(publisher, error)
    if (number === 0) reject(error)
    else deliveries.refuse(number, 'internalError', describe(error))
  }
}

/** Queues what is no plain message. */
function queueParts(publisher, parts) {
  if (!parts.onDelivery) return put(publisher, parts, 0)
  const { deliveries } = publisher[PUBLISHER]
  const { resolve, reject } = callbackOf(parts.onDelivery)
  const number = deliveries.add(parts.topic, resolve, reject)
  if (number === 0) throw new Error('too many callbacks are pending')
  try {
    return put(publisher, parts, number)
  } catch (error) {
    deliveries.refuse(number, 'internalError', describe(error))
    throw error
  }
}

/** Its text says what is wrong with it, if anything is. `number`: who waits for it. */
function put(publisher, parts, number) {
  const problem = parts.problem
  if (problem) {
    const form = { key: BAD_KEY, value: BAD_VALUE, options: BAD_OPTIONS }[problem.of]
    const room = publisher[QUEUE]('', problem.text, parts.topic, form) === undefined
    if (number > 0) {
      const reason = { key: 'badKey', value: 'badValue', options: 'badOptions' }[problem.of]
      const why = { key: 'the key: ', value: 'the message: ', options: 'its options: ' }[problem.of]
      publisher[PUBLISHER].deliveries.refuse(number, reason, why + problem.text)
    }
    return room
  }
  const queue = (key, flags) =>
    publisher[RECORD](
      key,
      parts.value,
      parts.topic,
      flags,
      parts.partition,
      parts.timestamp,
      parts.headers,
      number
    )
  let room = queue(parts.key, parts.flags)
  if (room === null && typeof parts.headers === 'string' && parts.headers !== '') {
    // They may not be ASCII.
    parts.encodeAnyHeaders()
    room = queue(parts.key, parts.flags)
  }
  // Null: the key needs to be escaped.
  if (room !== null) return room === undefined
  return queue(parts.jsonKey(), parts.flags | RECORD_KEY_IS_JSON) === undefined
}

/** What keeps `queue()` and the like from throwing: their work could not be done. */
function failed(publisher, error) {
  try {
    return queueFailed(publisher, error)
  } catch (_error) {
    // Not even that can be called at the end of the stack: the next method called tells it.
  }
  try {
    publisher[PUBLISHER].failed++
    return true
  } catch (_error) {
    return false
  }
}

/** The rest of `queue()`: keys that are no plain text, values that refer to themselves, and mistakes. */
function queueOdd(queueText, key, message, topic, text, error) {
  const encoded = encodeKey(key)
  if (encoded.problem) return queueText(key, encoded.problem, topic, BAD_KEY) === undefined
  const value = encodeValue(message, text, error)
  if (value.problem) return queueText(encoded.text, value.problem, topic, BAD_VALUE) === undefined
  const room = typeof key === 'string' ? queueText(key, value.text, topic) : null
  if (room !== null) return room === undefined
  return queueText(encoded.text, value.text, topic, KEY_IS_JSON) === undefined
}

/** `queue()` could not do its work, or was called on something that is no publisher. */
function queueFailed(publisher, error) {
  const inner = innerOf(publisher)
  if (inner) tellFailed(inner, inner.failed + 1, describe(error))
  else addon.lost(describe(error))
  return inner !== undefined
}

function tellFailed(inner, count, why) {
  addon.queueFailed(inner.handle, count, why)
  inner.failed = 0
}

function innerOf(publisher) {
  try {
    return publisher[PUBLISHER]
  } catch (_error) {
    return undefined
  }
}

function handleOf(publisher, method) {
  const found = publisher !== undefined && publisher !== null && publisher[PUBLISHER]
  if (!found) throw new TypeError('KafkaPublisher.' + method + '() was called on another object')
  if (found.failed) tellFailed(found, found.failed, 'the stack was at its end')
  return found.handle
}

exports.KafkaPublisher = KafkaPublisher
