// What is queued is JSON, byte for byte as JSON.stringify and json-stringify-safe write it. Without
// a broker the fallback file shows it, which holds key and value as they would be on the wire.

const fs = require('node:fs')
const stringify = require('json-stringify-safe')
const { KafkaPublisher } = require('..')
const {
  makePublisher,
  makeDirectory,
  endPublishers,
  fallbackFiles,
} = require('./support/publisher')

afterEach(endPublishers)

const UNREACHABLE = {
  connectionString: '127.0.0.1:1',
  retries: { attempts: 1 },
  batch: { maxWait: 0 },
}

/** The key and value texts of what `queue` was called with, as the file's lines have them. */
async function written(calls, options) {
  const publisher = makePublisher({ ...UNREACHABLE, defaultTopic: 't', ...options })
  for (const call of calls) publisher.queue(...call)
  await publisher.end()
  const text = fallbackFiles(publisher.directory)
    .map((file) => fs.readFileSync(file, 'utf8'))
    .join('')
  return text.split('\n').filter(Boolean)
}

const line = (key, value, topic = 't') =>
  `{"topic":"${topic}","key":${key},"value":${value},"timestamp":`

function circular() {
  const value = { name: 'root', list: [], deep: { er: {} }, again: null }
  value.self = value
  value.list.push(value.list, value.deep.er)
  value.deep.er.up = value.deep
  value.deep.er.top = value
  value.again = value.deep
  const shared = { x: 1 }
  value.one = shared
  value.two = shared
  return value
}

const VALUES = {
  'an object': { a: 1, b: 'two', c: null, d: undefined, e: [1, [2]] },
  'an array': [1, 'two', undefined, null],
  'an empty object': {},
  'a date': new Date(1_700_000_000_000),
  'a buffer': Buffer.from('bytes'),
  'an object with toJSON': { toJSON: () => ({ replaced: true }) },
  'escapes and emoji': { t: '"\\\b\f\n\r\t\u0001\u007f\u2028 é € 😀' },
  'Latin-1': { t: 'caf\u00e9 \u00ff' },
  'characters whose low bytes are ASCII': { t: '\u0141\u0121\u4e2d\u4041' },
  'a lone surrogate': { t: '\ud800', u: 'x\udfffy' },
  'numbers of all kinds': { n: [0, -0, 1.5, 1e21, 1e-7, Number.NaN, Number.POSITIVE_INFINITY] },
  'a boxed string': new String('boxed'),
  'a large object': { t: 'é'.repeat(300_000) },
  'a large object of ASCII': { t: 'a'.repeat(300_000) },
  'a large object whose low bytes are ASCII': { t: '\u4e2d'.repeat(300_000) },
  'a circular object': circular(),
  'a circular array': (() => {
    const list = [1]
    list.push(list, [list])
    return list
  })(),
}

test.each(Object.entries(VALUES))(
  '%s is written as json-stringify-safe writes it',
  async (_, value) => {
    const [only] = await written([['k', value]])
    expect(only.startsWith(line('"k"', stringify(value)))).toBe(true)
  }
)

const KEYS = {
  'a plain string': 'someKey',
  'an empty string': '',
  'a string with quotes and controls': 'q"\\\n\t\u0000\u001f',
  'a string beyond ASCII': 'é€😀\u2028',
  'a lone surrogate': 'a\ud800b',
  'a long string': 'k'.repeat(100_000),
  'a small number': 5,
  'minus zero': -0,
  'a fraction': 1.5,
  'a huge number': 2 ** 53,
  'an exponent': 1e21,
  NaN: Number.NaN,
  'an object': { id: 7, at: 'é' },
  'an array': [1, 2],
  'a circular object': circular(),
}

test.each(Object.entries(KEYS))('%s as a key is its JSON text', async (_, key) => {
  const [only] = await written([[key, {}]])
  expect(only.startsWith(line(stringify(key), '{}'))).toBe(true)
})

test("keyEncoding 'raw' keeps a string key as it is, and the line says so", async () => {
  const keys = ['plain', 'q"\n', 'é', 5, { a: 1 }]
  const lines = await written(
    keys.map((key) => [key, {}]),
    { keyEncoding: 'raw' }
  )
  const parsed = lines.map((text) => JSON.parse(text))
  expect(parsed.map((message) => message.key)).toEqual(['plain', 'q"\n', 'é', '5', '{"a":1}'])
  expect(parsed.every((message) => message.keyEncoding === 'raw')).toBe(true)
})

test('a topic given with the message wins over defaultTopic', async () => {
  const lines = await written([
    ['k', { i: 0 }],
    ['k', { i: 1 }, 'other'],
    ['k', { i: 2 }, undefined],
    ['k', { i: 3 }, 'third.topic_x-1'],
  ])
  expect(lines.map((text) => JSON.parse(text).topic)).toEqual([
    't',
    'other',
    't',
    'third.topic_x-1',
  ])
})

test('ASCII and other text of all lengths, one after the other', async () => {
  const texts = ['a', '\u00e9', '\u4e2d', '\u{1f600}'].flatMap((character) =>
    Array.from({ length: 200 }, (_, length) => 'a'.repeat(length) + character)
  )
  const lines = await written(texts.map((text) => ['k', { text }]))
  expect(lines.map((text) => JSON.parse(text).value)).toEqual(texts.map((text) => ({ text })))
})

test('a frozen publisher and one of a subclass work, too', async () => {
  class Sub extends KafkaPublisher {}
  const directory = makeDirectory()
  const publisher = Object.freeze(
    new Sub({ ...UNREACHABLE, defaultTopic: 't', fallback: { directory } })
  )
  expect(publisher.queue('k', { n: 1 })).toBe(true)
  expect(publisher.queue('k', { n: 2 })).toBe(true)
  await publisher.end()
  expect(publisher.getStatistics().fallback.messages).toBe(2)
})

test('a toJSON that queues another message is no trouble', async () => {
  const publisher = makePublisher({ ...UNREACHABLE, defaultTopic: 't' })
  const value = {
    toJSON() {
      publisher.queue('inner', { inner: true })
      return { outer: true }
    },
  }
  publisher.queue('outer', value)
  await publisher.end()
  const [file] = fallbackFiles(publisher.directory)
  const keys = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((text) => JSON.parse(text).key)
  expect(keys).toEqual(['inner', 'outer'])
})

test('each line has the time at which its message was queued', async () => {
  const before = Date.now()
  const lines = await written([['k', {}]])
  const { timestamp } = JSON.parse(lines[0])
  expect(timestamp).toBeGreaterThanOrEqual(before)
  expect(timestamp).toBeLessThanOrEqual(Date.now())
})
