// Messages that tell who queued them and as which one, so that they can be found wherever they are.

const crypto = require('node:crypto')

const TEXTS = ['plain', 'é"\\\n\t', '\u2028 😀', '</script> \u0000', 'ÿ€', '']

const keyOf = (from, i) => `${from} ${i % 7}`

const messageOf = (from, i) => ({ from, i, text: TEXTS[i % TEXTS.length].padEnd(i % 40, '.') })

const idOf = (from, i) => `${from}:${i}`

/** The id of a message in a topic. Fails on one that does not have the bytes that were queued. */
function identify({ key, value }) {
  const { from, i } = JSON.parse(value)
  if (
    value.toString() !== JSON.stringify(messageOf(from, i)) ||
    key?.toString() !== JSON.stringify(keyOf(from, i))
  ) {
    throw new Error(`a message that nobody queued: ${key} ${value}`)
  }
  return idOf(from, i)
}

/** Each id's places, in the order in which they were read. */
function placesById(messages) {
  const places = new Map()
  for (const message of messages) {
    const id = identify(message)
    const others = places.get(id)
    if (others) others.push(message)
    else places.set(id, [message])
  }
  return places
}

/** The line's id and time. */
function parseLine(text) {
  const { value, timestamp } = JSON.parse(text)
  return { id: idOf(value.from, value.i), timestamp }
}

/**
 * Reads a fallback file.
 *
 * @returns {{lines: {offset: number, id: string, timestamp: number}[], torn: string}} `torn`: what
 *   is behind the last line break
 */
function readLines(bytes) {
  const lines = []
  let offset = 0
  for (;;) {
    const end = bytes.indexOf(10, offset)
    if (end < 0) return { lines, torn: bytes.subarray(offset).toString() }
    lines.push({ offset, ...parseLine(bytes.subarray(offset, end).toString()) })
    offset = end + 1
  }
}

/** A source of random numbers that gives the same ones for the same seed. */
function seededRandom(seed) {
  let state = crypto.createHash('sha256').update(String(seed)).digest().readUInt32LE(0)
  // mulberry32
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    /** A whole number from `low` to `high`, both included. */
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    pick: (list) => list[Math.floor(next() * list.length)],
  }
}

module.exports = { keyOf, messageOf, idOf, placesById, readLines, seededRandom }
