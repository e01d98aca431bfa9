// Messages that have more, or less, than a key, JSON and a topic: what they are made of, looked at before
// the addon gets it. Parses on Node.js 8.

const { stringify, encodeKey, encodeValue, describe, kindOf } = require('./text')

// Bits of what the addon is told of a message; `queue/record.rs` has the same numbers.
const KEYLESS = 1
const VALUELESS = 2
const KEY_IS_JSON = 4
const RAW_KEY = 8
const RAW_VALUE = 16
const HAS_PARTITION = 32
const HAS_TIME = 64
const HAS_HEADERS = 128

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

/** What the addon is given of a message. */
class Parts {
  constructor() {
    this.key = undefined
    this.value = undefined
    this.topic = undefined
    this.flags = 0
    this.partition = undefined
    this.timestamp = undefined
    /** Text that is their bytes if all of it is ASCII, or bytes. */
    this.headers = undefined
    this.given = undefined
    this.onDelivery = undefined
    /** What is wrong with it. A getter's or a proxy's error is that, too. */
    this.problem = undefined
  }

  /** The key as JSON text, for one that needs to be escaped. */
  jsonKey() {
    return stringify(this.key)
  }

  /** For headers that are no short ASCII text. */
  encodeAnyHeaders() {
    const headers = this.given === undefined ? this.headers : this.given
    const names = Array.isArray(headers) ? undefined : Object.keys(headers)
    this.headers = allHeaders(headers, names)
    this.given = undefined
    if (this.headers.length > 0) this.flags |= HAS_HEADERS
  }

  failed(error) {
    this.problem = error instanceof Problem ? error : new Problem('options', describe(error))
    return this
  }
}

/** `queue(key, message, options)` */
function partsOf(options, key, message) {
  const parts = new Parts()
  try {
    readOptions(parts, options)
    readKey(parts, key)
    let text
    let error
    if (typeof message === 'object' && message !== null) {
      try {
        text = stringify(message)
      } catch (thrown) {
        error = { thrown }
      }
    }
    if (typeof text === 'string') parts.value = text
    else {
      const value = encodeValue(message, text, error)
      if (value.problem) throw new Problem('value', value.problem)
      parts.value = value.text
    }
    encodeHeaders(parts)
  } catch (error) {
    parts.failed(error)
  }
  return parts
}

/** `tombstone(key, options)` */
function tombstoneOf(options, key) {
  const parts = new Parts()
  try {
    readOptions(parts, options)
    readKey(parts, key)
    parts.flags |= VALUELESS
    encodeHeaders(parts)
  } catch (error) {
    parts.failed(error)
  }
  return parts
}

/** `queueRecord(record)` */
function rawOf(record) {
  const parts = new Parts()
  try {
    if (typeof record !== 'object' || record === null) {
      throw new Problem('options', 'the record is ' + kindOf(record))
    }
    readOptions(parts, record)
    parts.key = raw(record.key, 'key')
    parts.flags |= parts.key === undefined ? KEYLESS : RAW_KEY
    parts.value = raw(record.value, 'value')
    parts.flags |= parts.value === undefined ? VALUELESS : RAW_VALUE
    encodeHeaders(parts)
  } catch (error) {
    parts.failed(error)
  }
  return parts
}

function readOptions(parts, options) {
  const { topic, partition, timestamp, headers, onDelivery } = options
  parts.topic = topic
  if (onDelivery !== undefined && onDelivery !== null) {
    if (typeof onDelivery !== 'function') {
      throw new Problem('options', 'onDelivery is ' + kindOf(onDelivery) + '; it takes a function')
    }
    parts.onDelivery = onDelivery
  }
  if (partition !== undefined && partition !== null) {
    parts.partition = partitionOf(partition)
    parts.flags |= HAS_PARTITION
  }
  if (timestamp !== undefined && timestamp !== null) {
    parts.timestamp = timeOf(timestamp)
    parts.flags |= HAS_TIME
  }
  parts.headers = headers
}

function encodeHeaders(parts) {
  const { headers } = parts
  if (headers === undefined || headers === null) return
  if (typeof headers !== 'object') {
    throw new Problem('options', 'headers is ' + kindOf(headers) + '; it takes an object')
  }
  const names = Array.isArray(headers) ? undefined : Object.keys(headers)
  const text = names === undefined ? undefined : textOfHeaders(headers, names)
  if (text === undefined) return parts.encodeAnyHeaders()
  parts.given = headers
  parts.headers = text
  if (text.length > 0) parts.flags |= HAS_HEADERS
}

function readKey(parts, key) {
  if (typeof key === 'string') {
    parts.key = key
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

const NONE = 0xffffffff

/** Four bytes of a length, the least first, as text. */
const LENGTHS = []
for (let length = 0; length < 128; length++) LENGTHS.push(String.fromCharCode(length) + '\0\0\0')

/** Headers that are short strings, as text that has their bytes if all of it is ASCII; undefined for others. */
function textOfHeaders(headers, names) {
  let text = ''
  for (let i = 0; i < names.length; i++) {
    const name = names[i]
    const value = headers[name]
    if (typeof value !== 'string' || name.length > 127 || value.length > 127) return undefined
    if (name.indexOf('\0') !== -1) return undefined
    text += LENGTHS[name.length] + LENGTHS[value.length] + name + value
  }
  return text
}

/** Headers of any kind, as the addon has them: see `headers.rs`. */
function allHeaders(headers, names) {
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
    lengths.writeUInt32LE(valueBytes ? valueBytes.length : NONE, 4)
    parts.push(lengths, nameBytes)
    if (valueBytes) parts.push(valueBytes)
  }
  if (names === undefined) for (const pair of headers) add(pair[0], pair[1])
  else
    for (const name of names) {
      const value = headers[name]
      if (Array.isArray(value)) for (const one of value) add(name, one)
      else add(name, value)
    }
  return bytesOf(Buffer.concat(parts))
}

function headerBytes(Buffer, name, value) {
  if (typeof value === 'string') return Buffer.from(value)
  if (isView(value)) return bytesOf(value)
  throw new Problem(
    'options',
    'the header ' + name + ' is ' + kindOf(value) + '; it takes a string, a Uint8Array or null'
  )
}

module.exports = { partsOf, tombstoneOf, rawOf, KEY_IS_JSON }
