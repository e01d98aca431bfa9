// The class KafkaPublisher: a thin one, around a publisher of the addon. Parses on Node.js 8.

const native = require('./load')
const { split } = require('./lib/callbacks')
const { writableOf } = require('./lib/writable')
const { stringify, toJSON, retryJSON, describe, kindOf } = require('./lib/text')

const addon = native.publisher

// Properties of a publisher that nobody sees: the addon's function that takes a message, and the rest.
const QUEUE = Symbol('queue')
const PUBLISHER = Symbol('publisher')

// What `queueText` is told of a key and a text that are not simply a string and a message's JSON.
const KEY_IS_JSON = 1
const BAD_KEY = 2
const BAD_VALUE = 3

class KafkaPublisher {
  constructor(options) {
    const parts = split(options)
    const handle = addon.start(parts.options, parts.callbacks)
    const hide = (name, value) =>
      Object.defineProperty(this, name, Object.assign(Object.create(null), { value }))
    hide(QUEUE, addon.queueFunction(handle))
    // The addon holds the callbacks weakly unless there are messages in memory: this keeps them.
    hide(PUBLISHER, { handle, callbacks: parts.callbacks, failed: 0 })
  }

  queue(key, message, topic) {
    try {
      const queueText = this[QUEUE]
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
      try {
        return queueFailed(this, error)
      } catch (_error) {
        // Not even that can be called at the end of the stack: the next method called tells it.
      }
      try {
        this[PUBLISHER].failed++
        return true
      } catch (_error) {
        return false
      }
    }
  }

  init() {
    return addon.init(handleOf(this, 'init'), this)
  }

  end() {
    return addon.end(handleOf(this, 'end'), this)
  }

  drained() {
    return addon.drained(handleOf(this, 'drained'), this)
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

function encodeKey(key) {
  const takes =
    typeof key === 'object' ? key !== null : typeof key === 'string' || typeof key === 'number'
  return takes ? toJSON(key) : { text: '', problem: 'it is ' + kindOf(key) }
}

function encodeValue(message, text, error) {
  if (typeof text === 'string') return { text, problem: null }
  if (error) return retryJSON(message, error.thrown)
  if (typeof message === 'object' && message !== null)
    return { text: '', problem: 'it has no JSON text' }
  return { text: '', problem: 'it is ' + kindOf(message) }
}

function handleOf(publisher, method) {
  const found = publisher !== undefined && publisher !== null && publisher[PUBLISHER]
  if (!found) throw new TypeError('KafkaPublisher.' + method + '() was called on another object')
  if (found.failed) tellFailed(found, found.failed, 'the stack was at its end')
  return found.handle
}

exports.KafkaPublisher = KafkaPublisher
