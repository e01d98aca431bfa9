// A message that can't be published is logged, counted by reason, and never thrown.

const net = require('node:net')
const { makePublisher, endPublishers } = require('./support/publisher')
const { until } = require('./support/until')

// Accepts connections and says nothing, so that no error of a broker's is counted beside ours.
const silentBroker = net.createServer((socket) => socket.resume())
beforeAll((done) => {
  silentBroker.listen(0, '127.0.0.1', done)
})
afterAll((done) => {
  silentBroker.close(done)
})
afterEach(endPublishers)

const make = (options) =>
  makePublisher({
    connectionString: `127.0.0.1:${silentBroker.address().port}`,
    retries: { attempts: 1 },
    ...options,
  })

const throwing = {
  get property() {
    throw new Error('boom')
  },
}

const CASES = [
  ['null as a key', 'badKey', [null, {}, 't']],
  ['undefined as a key', 'badKey', [undefined, {}, 't']],
  ['a boolean as a key', 'badKey', [true, {}, 't']],
  ['a symbol as a key', 'badKey', [Symbol('key'), {}, 't']],
  ['a function as a key', 'badKey', [() => 'key', {}, 't']],
  ['a BigInt as a key', 'badKey', [1n, {}, 't']],
  ['a key with a throwing getter', 'badKey', [throwing, {}, 't']],
  ['a key whose toJSON gives nothing', 'badKey', [{ toJSON: () => undefined }, {}, 't']],
  ['null as a message', 'badValue', ['k', null, 't']],
  ['no message', 'badValue', ['k', undefined, 't']],
  ['a number as a message', 'badValue', ['k', 5, 't']],
  ['a string as a message', 'badValue', ['k', 'text', 't']],
  ['a function as a message', 'badValue', ['k', () => ({}), 't']],
  ['a message with a BigInt', 'badValue', ['k', { n: 1n }, 't']],
  ['a message with a throwing getter', 'badValue', ['k', throwing, 't']],
  ['a message whose toJSON throws', 'badValue', ['k', { toJSON: () => JSON.parse('{') }, 't']],
  ['a message whose toJSON gives nothing', 'badValue', ['k', { toJSON: () => undefined }, 't']],
  ['a revoked proxy as a message', 'badValue', ['k', revoked(), 't']],
  ['no topic at all', 'noTopic', ['k', {}]],
  ['null as a topic', 'noTopic', ['k', {}, null]],
  ['an empty topic', 'badTopic', ['k', {}, '']],
  ['a number as a topic', 'badTopic', ['k', {}, 5]],
  ['a topic that is a path', 'badTopic', ['k', {}, '../../etc/x']],
  ['a topic of one dot', 'badTopic', ['k', {}, '.']],
  ['a topic beyond ASCII', 'badTopic', ['k', {}, 'tüpic']],
  ['a topic of 250 characters', 'badTopic', ['k', {}, 't'.repeat(250)]],
  ['a message that can never fit into memory', 'tooLarge', ['k', { t: 'x'.repeat(200_000) }, 't']],
]

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

test.each(CASES)('%s is discarded as %s', async (_, reason, call) => {
  const publisher = make({ maxBufferedBytes: 100_000 })
  expect(() => publisher.queue(...call)).not.toThrow()
  const { discardedCnt, errorCnt, queueCnt, lastError, lastErrorTs, unaccountedCnt } =
    publisher.getStatistics()
  expect(discardedCnt[reason]).toBe(1)
  expect(discardedCnt.total).toBe(1)
  expect(errorCnt).toBe(1)
  expect(queueCnt).toBe(reason === 'noTopic' ? 0 : 1)
  expect(unaccountedCnt).toBe(0)
  expect(lastError).toMatch(/^discarded: /)
  expect(new Date(lastErrorTs).toUTCString()).toBe(lastErrorTs)
  const isLogged = ({ level, text }) => level === 'ERROR' && text.startsWith('message discarded')
  await until(() => publisher.lines.some(isLogged))
})

test('what a getter threw is in the log', async () => {
  const publisher = make()
  publisher.queue('k', throwing, 't')
  await until(() => publisher.lines.some(({ text }) => text.includes('boom')))
})

test('a discarded message takes no other with it', async () => {
  const publisher = make({ defaultTopic: 't' })
  for (const call of [
    ['a', { i: 0 }],
    [null, {}],
    ['b', { i: 1 }],
    ['c', { n: 1n }],
    ['d', { i: 2 }],
  ]) {
    publisher.queue(...call)
  }
  await publisher.end()
  const { fallback, discardedCnt, queueCnt, unaccountedCnt } = publisher.getStatistics()
  expect({
    onDisk: fallback.messages,
    discarded: discardedCnt.total,
    queueCnt,
    unaccountedCnt,
  }).toEqual({
    onDisk: 3,
    discarded: 2,
    queueCnt: 5,
    unaccountedCnt: 0,
  })
})

test('a message queued after end() is discarded as ended', async () => {
  const publisher = make({ defaultTopic: 't' })
  const ended = publisher.end()
  publisher.queue('k', {})
  await ended
  publisher.queue('k', {})
  expect(publisher.getStatistics().discardedCnt.ended).toBe(2)
})
