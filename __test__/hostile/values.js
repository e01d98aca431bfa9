// What a hostile caller passes: as a key, a message, a topic, an option, `this`, or by throwing it.

/** What cannot be turned into text, or only with an exception. */
const THROWN = [
  () => new Error('thrown on purpose'),
  () => Object.create(null),
  () => Symbol('thrown'),
  () => undefined,
  () => null,
  () => 'a text',
  () => ({
    get message() {
      throw new Error('message throws')
    },
  }),
  () => ({
    message: {
      toString() {
        throw Symbol('toString throws')
      },
    },
  }),
  () => revoked(),
  () => throwingProxy(),
]

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.5,
  7,
  300_000,
  300_001,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  1e308,
  -1e308,
  NaN,
  Infinity,
  -Infinity,
]

const STRINGS = [
  '',
  'k',
  'a "quoted" one\\',
  '\ud800',
  '\u0000',
  'ü€😀',
  '..',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  '%s%n%s',
  'x'.repeat(250),
  'y'.repeat(100_000),
]

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function throwingProxy() {
  const fail = () => {
    throw new Error('a trap throws')
  }
  return new Proxy(
    {},
    { get: fail, has: fail, ownKeys: fail, getOwnPropertyDescriptor: fail, getPrototypeOf: fail }
  )
}

function deep(levels) {
  let value = {}
  for (let i = 0; i < levels; i++) value = { value }
  return value
}

function circular() {
  const value = { list: [] }
  value.self = value
  value.list.push({ value })
  return value
}

/** Makes `throwIt()`, which throws something odd. */
function thrower(random) {
  const make = random.of(THROWN)
  return () => {
    throw make()
  }
}

/** An object whose conversion runs code: it throws, or does `mischief`. */
function withToJSON(random, mischief) {
  const fail = thrower(random)
  return random.chance(0.5)
    ? { toJSON: fail }
    : {
        toJSON() {
          mischief()
          return { ok: true }
        },
      }
}

/** Any value at all. `mischief` is done by some of them while they are looked at. */
function anything(random, mischief = () => {}) {
  const fail = thrower(random)
  return random.of([
    () => undefined,
    () => null,
    () => random.chance(0.5),
    () => random.of(NUMBERS),
    () => random.of(STRINGS),
    () => 10n ** 30n,
    () => Symbol('s'),
    () => fail,
    () => () => 1,
    () => [],
    () => new Array(4_000_000_000),
    () => [1, [2, [3, [4, [5]]]]],
    () => ({}),
    () => ({ a: random.of(NUMBERS), b: random.of(STRINGS) }),
    () => circular(),
    () => deep(random.of([5, 5_000, 50_000])),
    () => ({ big: 1n }),
    () => withToJSON(random, mischief),
    () => Object.defineProperty({}, 'x', { enumerable: true, get: fail }),
    () => throwingProxy(),
    () => revoked(),
    () => new Proxy({ a: 1 }, {}),
    () => new Date(NaN),
    () => Buffer.from('bytes'),
    () => new Float64Array(3),
    () => new DataView(new ArrayBuffer(8)),
    () => new SharedArrayBuffer(8),
    () => new Map([[1, 2]]),
    () => new String('text'),
    () => Promise.resolve(1),
    () => Object.create({ inherited: 1 }),
    () => globalThis,
  ])()
}

module.exports = { anything, thrower, withToJSON, THROWN, NUMBERS, STRINGS }
