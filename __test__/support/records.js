// Records of every kind, made of a number, and what a consumer has to find of each.

const { seededRandom } = require('./numbered')

const TEXTS = ['', 'plain', 'quote"\n\\', 'ümläut', '\u2028', '\u0000', '🚀', ' x ']

/**
 * @param {number} n
 * @param {{seed: number, base: number}} how `base`: a time, in milliseconds
 * @returns {{call: any[], expected: {key: Buffer | null, value: Buffer | null, headers: [string, Buffer | null][],
 *   partition?: number, timestamp?: number}}} `call`: a method's name and its arguments
 */
function recordOf(n, { seed, base }) {
  const random = seededRandom(`${seed} ${n}`)
  const text = () => random.pick(TEXTS)
  const bytes = () =>
    Buffer.from(Array.from({ length: random.between(0, 40) }, () => random.between(0, 255)))
  const { options, expected } = optionsOf(random, { text, bytes, base })
  const json = (value) => Buffer.from(JSON.stringify(value))
  const key = random.pick([`k${n}`, `${text()}${n}`, n, { n, text: text() }])
  const message = { n, text: text(), list: [1.5, null, { deep: text() }] }
  const kinds = {
    plain: () => ({
      call: ['queue', key, message],
      expected: { key: json(key), value: json(message), headers: [] },
    }),
    queue: () => ({
      call: ['queue', key, message, options],
      expected: { ...expected, key: json(key), value: json(message) },
    }),
    tombstone: () => ({
      call: ['tombstone', key, options],
      expected: { ...expected, key: json(key), value: null },
    }),
    record: () => {
      const part = () => random.pick([null, undefined, text(), bytes(), new Uint8Array(bytes())])
      const wire = (given) => (given === null || given === undefined ? null : Buffer.from(given))
      // So that it can be told from others.
      const headers = [...(options.headers ?? []), ['n', String(n)]]
      const record = { ...options, headers, key: part(), value: part() }
      return {
        call: ['queueRecord', record],
        expected: {
          ...expected,
          key: wire(record.key),
          value: wire(record.value),
          headers: [...expected.headers, ['n', Buffer.from(String(n))]],
        },
      }
    },
  }
  return kinds[random.pick(['plain', 'queue', 'queue', 'tombstone', 'record', 'record'])]()
}

function optionsOf(random, { text, bytes, base }) {
  const options = {}
  const expected = { headers: [] }
  if (random.pick([true, false])) {
    options.headers = Array.from({ length: random.between(0, 4) }, () => [
      random.pick(['a', 'b', 'traceparent', 'ü "']),
      random.pick([text(), bytes(), null]),
    ])
    expected.headers = options.headers.map(([name, value]) => [
      name,
      value === null ? null : Buffer.from(value),
    ])
  }
  if (random.between(0, 3) === 0) options.partition = expected.partition = random.between(0, 2)
  if (random.between(0, 3) === 0) {
    // Of the last hours: a topic may not take what is older.
    expected.timestamp = base - random.between(0, 3_600_000)
    options.timestamp = random.pick([expected.timestamp, new Date(expected.timestamp)])
  }
  return { options, expected }
}

/** Two messages with the same text are the same, but for partition and time. */
function textOf({ key, value, headers }) {
  const hex = (bytes) =>
    bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString('hex')
  return JSON.stringify([hex(key), hex(value), headers.map(([name, one]) => [name, hex(one)])])
}

/** What kafkajs makes of headers, as pairs: those of one name follow each other. */
function pairsOf(headers) {
  return Object.entries(headers).flatMap(([name, value]) =>
    Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]]
  )
}

/** Headers in the order in which `pairsOf` has them. */
function grouped(headers) {
  const names = [...new Set(headers.map(([name]) => name))]
  return names.flatMap((name) => headers.filter(([other]) => other === name))
}

module.exports = { recordOf, textOf, pairsOf, grouped }
