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

/** What the addon is given of a message. */
class Parts {
  constructor() {
    this.key = undefined
    this.value = undefined
    this.topic = undefined
    this.flags = 0
    this.partition = undefined
    this.timestamp = undefined
    this.headers = undefined
    this.onDelivery = undefined
    /** What is wrong with it. A getter's or a proxy's error is that, too. */
    this.problem = undefined
  }

  /** The key as JSON text, for one that needs to be escaped. */
  jsonKey() {
    return stringify(this.key)
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
  if (partition !== undefined && partition !== null) parts.partition = partitionOf(partition)
  if (timestamp !== undefined && timestamp !== null) parts.timestamp = timeOf(timestamp)
  parts.headers = headers
}

/** The last thing before the addon is called: the caller's own code must not run in between. */
function encodeHeaders(parts) {
  const { headers } = parts
  parts.headers = headers === undefined || headers === null ? undefined : headersOf(headers)
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

// Headers that are small are written here, and copied by the addon before anything else is called.
const SCRATCH = new Uint8Array(4096)
const NONE = 0xffffffff

/** Writes a number's four bytes, the least first. */
function writeLength(at, length) {
  SCRATCH[at] = length
  SCRATCH[at + 1] = length >>> 8
  SCRATCH[at + 2] = length >>> 16
  SCRATCH[at + 3] = length >>> 24
}

/** Writes text of ASCII characters. Returns where it ends, or -1 if there is other text or no room. */
function writeText(at, text) {
  const length = text.length
  if (at + length > SCRATCH.length) return -1
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return -1
    SCRATCH[at + i] = code
  }
  return at + length
}

/** Writes headers that are few, small, and text or nothing. Returns their end; -1 for others. */
function writeHeaders(headers, names) {
  let end = 0
  for (let i = 0; i < names.length; i++) {
    const name = names[i]
    const value = headers[name]
    const start = end
    if (start + 8 > SCRATCH.length) return -1
    end = writeText(start + 8, name)
    if (end === -1 || name.indexOf('\0') !== -1) return -1
    writeLength(start, name.length)
    if (value === null) {
      writeLength(start + 4, NONE)
      continue
    }
    if (typeof value !== 'string') return -1
    end = writeText(end, value)
    if (end === -1) return -1
    writeLength(start + 4, value.length)
  }
  return end
}

/** Headers as the addon has them: see `headers.rs`. */
function headersOf(headers) {
  if (typeof headers !== 'object') {
    throw new Problem('options', 'headers is ' + kindOf(headers) + '; it takes an object')
  }
  if (Array.isArray(headers)) return allHeaders(headers, undefined)
  const names = Object.keys(headers)
  if (names.length === 0) return undefined
  // A getter may queue a message of its own meanwhile: then all is read again.
  const before = writes
  const end = writeHeaders(headers, names)
  if (end === -1 || before !== writes) return allHeaders(headers, names)
  writes++
  return new Uint8Array(SCRATCH.buffer, 0, end)
}

/** How often the scratch buffer was filled. */
let writes = 0

/** The same for headers of any kind. */
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

module.exports = { partsOf, tombstoneOf, rawOf, KEY_IS_JSON }
