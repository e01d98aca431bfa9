// SASL OAUTHBEARER with tokens from the user's function.

const { KafkaPublisher } = require('..')
const { readTopic } = require('./support/consume')
const { Kafka } = require('./support/kafka')
const { endPublishers, makePublisher, untilState } = require('./support/publisher')
const { until } = require('./support/until')

let kafka
beforeAll(async () => {
  // Or a client that has a new token may not authenticate again on its connection.
  kafka = await Kafka.start({ oauth: true, properties: { 'connections.max.reauth.ms': 60_000 } })
})
afterEach(endPublishers)
afterAll(() => kafka.stop())

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token as Kafka's own validator for tests takes it. */
function unsecured(seconds, principal = 'alice') {
  const now = Date.now() / 1000
  const claims = { sub: principal, iat: now - 1, exp: now + seconds }
  return `${encode({ alg: 'none' })}.${encode(claims)}.`
}

const publisherFor = (defaultTopic, oauthToken, options) =>
  makePublisher({ connectionString: kafka.oauthBootstrap, defaultTopic, oauthToken, ...options })

const read = async (topic) =>
  (await readTopic(kafka.bootstrap, topic)).map(({ value }) => JSON.parse(value).n)

test('messages arrive, and a token is replaced before it expires while nothing is published', async () => {
  await kafka.createTopic('oauth')
  const given = []
  const publisher = publisherFor('oauth', async () => {
    const value = unsecured(10)
    given.push(value)
    return { value, principal: 'alice', lifetimeMs: 10_000, extensions: { name: 'value' } }
  })
  await publisher.init()
  publisher.queue('key', { n: 1 })
  await until(() => publisher.getStatistics().sentCnt === 1)
  await until(() => given.length >= 3)
  expect(publisher.lines.filter(({ level }) => level === 'ERROR' || level === 'WARN')).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({ state: 'publishing', errorCnt: 0 })
  publisher.queue('key', { n: 2 })
  await publisher.end()
  expect(await read('oauth')).toEqual([1, 2])
  const log = publisher.lines.map(({ text }) => text).join('\n')
  for (const token of given) expect(log).not.toContain(token)
})

test('a function that fails is logged, counted and called again; the messages wait in a file', async () => {
  await kafka.createTopic('oauth-failing')
  let works = false
  let calls = 0
  const publisher = publisherFor(
    'oauth-failing',
    () => {
      calls++
      if (!works) throw new Error('no token today')
      return { value: unsecured(60), lifetimeMs: Date.now() + 60_000 }
    },
    { retries: { attempts: 3 }, retryOptions: { minTimeout: 200, maxTimeout: 200 } }
  )
  publisher.queue('key', { n: 1 })
  await untilState(publisher, 'fallingBack')
  const isLogged = ({ level, text }) => level === 'ERROR' && text.includes('no token today')
  await until(() => publisher.lines.some(isLogged) && calls >= 2)
  expect(publisher.getStatistics().errorCnt).toBeGreaterThanOrEqual(1)
  works = true
  await untilState(publisher, 'publishing')
  await until(() => publisher.getStatistics().sentCnt === 1)
  expect(await read('oauth-failing')).toEqual([1])
})

test.each([
  ['nothing', () => undefined, 'it returned undefined'],
  ['a rejection without a text', () => Promise.reject(undefined), 'undefined'],
  ['no value', () => ({ lifetimeMs: 5000 }), 'its value is no string'],
  ['no lifetime', () => ({ value: 'a' }), 'lifetimeMs is no number'],
  [
    'a lifetime that is over',
    () => ({ value: 'secret-a', lifetimeMs: 1e12 }),
    'oauthToken failed: ',
  ],
  ['a NUL', () => ({ value: 'secret-a\0b', lifetimeMs: 5000 }), 'it contains a NUL'],
  [
    'an extension that can be none',
    () => ({ value: 'secret-a', lifetimeMs: 5000, extensions: { 'a b': 'c' } }),
    'oauthToken failed: ',
  ],
])('%s is a failure, and says what is wrong', async (_, source, why) => {
  const publisher = publisherFor('oauth-wrong', source)
  const isLogged = ({ level, text }) => level === 'ERROR' && text.includes(why)
  await until(() => publisher.lines.some(isLogged))
  expect(JSON.stringify(publisher.lines)).not.toContain('secret-a')
})

test('what does not go with it is refused', () => {
  const make = (options) => () =>
    new KafkaPublisher({ connectionString: 'h:1', oauthToken: () => ({}), ...options })
  expect(make({ oauthToken: 'a token' })).toThrow(/'oauthToken' got .*takes a function/)
  expect(make({ producer: { 'sasl.mechanisms': 'PLAIN' } })).toThrow(/oauthToken.*PLAIN/)
  expect(make({ producer: { 'sasl.oauthbearer.method': 'oidc' } })).toThrow(/oauthToken.*oidc/)
})
