// Messages that have more, or less, than a key, JSON and a topic: what they are made of, looked at before
// the addon gets it. Parses on Node.js 8.

const { stringify, encodeKey, encodeValue, describe, kindOf } = require('./text')

// Bits of what the addon is told of a message; `queue/record.rs` has the same numbers.
const KEYLESS = 1
const VALUELESS = 2
const KEY_IS_JSON = 4
const RAW_KEY = 8
const RAW_VALUE = 16

const MOST_PARTITION = 2147483647
/** Of a `Date`, and of what Kafka takes. */
const MOST_TIME = 8.64e15

const isInteger = Number.isInteger
const isView = ArrayBuffer.isView

/** What is wrong with a message, for the log. */
class Problem {
  constructor(of, text) {
    this.of = of
    this.text = text
  }
}

/** `queue(key, message, options)` */
function partsOf(options, key, message) {
  return collect(options, (parts) => {
    jsonKey(parts, key)
    let text
    let error
    if (typeof message === 'object' && message !== null) {
      try {
        text = stringify(message)
      } catch (thrown) {
        error = { thrown }
      }
    }
    const value = encodeValue(message, text, error)
    if (value.problem) throw new Problem('value', value.problem)
    parts.value = value.text
  })
}

/** `tombstone(key, options)` */
function tombstoneOf(options, key) {
  return collect(options, (parts) => {
    jsonKey(parts, key)
    parts.flags |= VALUELESS
  })
}

/** `queueRecord(record)` */
function rawOf(record) {
  if (typeof record !== 'object' || record === null) {
    return { problem: new Problem('options', 'the record is ' + kindOf(record)) }
  }
  return collect(record, (parts) => {
    parts.key = raw(record.key, 'key')
    parts.flags |= parts.key === undefined ? KEYLESS : RAW_KEY
    parts.value = raw(record.value, 'value')
    parts.flags |= parts.value === undefined ? VALUELESS : RAW_VALUE
  })
}

/** Options and content, or a `problem`: a getter's or a proxy's error is one. */
function collect(options, fill) {
  const parts = {
    key: undefined,
    jsonKey: undefined,
    value: undefined,
    topic: undefined,
    flags: 0,
    partition: undefined,
    timestamp: undefined,
    headers: undefined,
    onDelivery: undefined,
    problem: undefined,
    KEY_IS_JSON,
  }
  try {
    const { topic, partition, timestamp, headers, onDelivery } = options
    parts.topic = topic
    if (onDelivery !== undefined && onDelivery !== null) {
      if (typeof onDelivery !== 'function') {
        throw new Problem(
          'options',
          'onDelivery is ' + kindOf(onDelivery) + '; it takes a function'
        )
      }
      parts.onDelivery = onDelivery
    }
    if (partition !== undefined && partition !== null) parts.partition = partitionOf(partition)
    if (timestamp !== undefined && timestamp !== null) parts.timestamp = timeOf(timestamp)
    if (headers !== undefined && headers !== null) parts.headers = headersOf(headers)
    fill(parts)
  } catch (error) {
    parts.problem = error instanceof Problem ? error : new Problem('options', describe(error))
  }
  return parts
}

function jsonKey(parts, key) {
  if (typeof key === 'string') {
    parts.key = key
    parts.jsonKey = () => stringify(key)
    return
  }
  const encoded = encodeKey(key)
  if (encoded.problem) throw new Problem('key', encoded.problem)
  parts.key = encoded.text
  parts.flags |= KEY_IS_JSON
}

/** Text or bytes as they are; undefined for none. */
function raw(value, what) {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value
  if (isView(value)) return bytesOf(value)
  throw new Problem(
    what,
    'it is ' + kindOf(value) + '; a record takes a string, a Uint8Array or null'
  )
}

/** A view's bytes as a `Uint8Array` of this realm. */
function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function partitionOf(partition) {
  if (isInteger(partition) && partition >= 0 && partition <= MOST_PARTITION) return partition
  throw new Problem('options', 'partition takes a whole number from 0')
}

function timeOf(timestamp) {
  const time = typeof timestamp === 'number' ? timestamp : Date.prototype.getTime.call(timestamp)
  if (isInteger(time) && time >= 0 && time <= MOST_TIME) return time
  throw new Problem('options', 'timestamp takes a Date, or milliseconds since 1970')
}

/** Headers as the addon has them: see `headers.rs`. */
function headersOf(headers) {
  if (typeof headers !== 'object') {
    throw new Problem('options', 'headers is ' + kindOf(headers) + '; it takes an object')
  }
  const { Buffer } = require('buffer')
  const parts = []
  const add = (name, value) => {
    if (typeof name !== 'string' || name.indexOf('\0') !== -1) {
      throw new Problem('options', 'a header takes a string without NUL as its name')
    }
    const nameBytes = Buffer.from(name)
    const valueBytes = value === null ? null : headerBytes(Buffer, name, value)
    const lengths = Buffer.allocUnsafe(8)
    lengths.writeUInt32LE(nameBytes.length, 0)
    lengths.writeUInt32LE(valueBytes ? valueBytes.length : 0xffffffff, 4)
    parts.push(lengths, nameBytes)
    if (valueBytes) parts.push(valueBytes)
  }
  if (Array.isArray(headers)) for (const pair of headers) add(pair[0], pair[1])
  else
    for (const name of Object.keys(headers)) {
      const value = headers[name]
      if (Array.isArray(value)) for (const one of value) add(name, one)
      else add(name, value)
    }
  return parts.length === 0 ? undefined : bytesOf(Buffer.concat(parts))
}

function headerBytes(Buffer, name, value) {
  if (typeof value === 'string') return Buffer.from(value)
  if (isView(value)) return bytesOf(value)
  throw new Problem(
    'options',
    'the header ' + name + ' is ' + kindOf(value) + '; it takes a string, a Uint8Array or null'
  )
}

module.exports = { partsOf, tombstoneOf, rawOf }
