// The messages that every contender publishes: the same ones in each process and each round.

/** So many different ones, but no more than this in bytes, and not less than a hundred. */
const POOL = 1000
const POOL_BYTES = 2_000_000
const POOL_LEAST = 100

const STATUS = ['created', 'paid', 'packed', 'shipped', 'delivered']
const CURRENCY = ['EUR', 'USD', 'GBP']
const WORDS = ['left', 'at', 'the', 'door', 'call', 'before', 'fragile', 'gift', 'wrapped']

/**
 * Orders whose JSON text has about `bytes` bytes; the larger ones have more lines. They are made
 * once and published again and again, so that a contender's time is not that of making messages.
 *
 * @returns {{key: string, value: object}[]}
 */
export function makeMessages(bytes) {
  const random = sequence(bytes)
  const count = Math.max(POOL_LEAST, Math.min(POOL, Math.floor(POOL_BYTES / bytes)))
  return Array.from({ length: count }, (_, number) => ({
    key: `customer-${number}`,
    value: makeOrder(bytes, random),
  }))
}

function makeOrder(bytes, random) {
  const pick = (list) => list[random(list.length)]
  const order = {
    order: `${hex(random)}${hex(random)}`,
    customer: random(1_000_000),
    status: pick(STATUS),
    total: random(100_000) / 100,
    currency: pick(CURRENCY),
    createdAt: new Date(Date.UTC(2026, 0, 1) + random(1e9)).toISOString(),
  }
  if (bytes > 512) order.lines = []
  // Not all text is ASCII.
  order.note = random(20) === 0 ? 'grün' : ''
  while (bytes > 512 && size(order) < bytes - 120) {
    order.lines.push({
      sku: hex(random),
      name: `${pick(WORDS)} ${pick(WORDS)}`,
      quantity: 1 + random(9),
      price: random(10_000) / 100,
      taxed: random(2) === 1,
    })
  }
  while (size(order) < bytes - 6) order.note += `${order.note && ' '}${pick(WORDS)}`
  return order
}

const size = (order) => Buffer.byteLength(JSON.stringify(order))
const hex = (random) => random(2 ** 32).toString(16)

// Mulberry32: small, and the same on every machine.
function sequence(seed) {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}
