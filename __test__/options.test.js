// A wrong option is a thrown Error that names it, what it got and what it takes; an unknown one is
// warned about. Each publisher has a copy of its own.

const { KafkaPublisher } = require('..')
const { makePublisher, endPublishers } = require('./support/publisher')
const { until } = require('./support/until')

afterEach(endPublishers)

const CASES = [
  [undefined, /'connectionString' must be set/],
  [null, /'connectionString' must be set/],
  [{}, /'connectionString' must be set/],
  ['127.0.0.1:9092', /'options' got "127.0.0.1:9092"; it takes an object/],
  [{ connectionString: '' }, /'connectionString' got ""; it takes a comma list/],
  [{ connectionString: 5 }, /'connectionString' got 5; it takes a comma list/],
  [{ connectionString: 'host:port' }, /'connectionString' got "host:port"; it takes a comma list/],
  [{ defaultTopic: 'no spaces' }, /'defaultTopic' got "no spaces"; it takes a topic name/],
  [{ requiredAcks: 'all' }, /'requiredAcks' got "all"; it takes a whole number/],
  [{ timeout: -1 }, /'timeout' got -1; it takes a whole number of milliseconds from 0 to 900000/],
  [
    { partitioner: 'murmur2' },
    /'partitioner' got "murmur2"; it takes an object with a method partition/,
  ],
  [{ partitioner: {} }, /'partitioner' got an object without a method partition/],
  [{ retries: { attempts: 1.5 } }, /'retries.attempts' got 1.5; it takes a whole number/],
  [
    { retries: { delay: { min: '5' } } },
    /'retries.delay.min' got "5"; it takes a whole number of milliseconds/,
  ],
  [{ batch: [] }, /'batch' got an array; it takes an object/],
  [{ batch: { maxWait: true } }, /'batch.maxWait' got true; it takes a number of milliseconds/],
  [{ codec: 'brotli' }, /'codec' got "brotli"; it takes 0 \(none\), 1 \(gzip\), 2 \(snappy\)/],
  [{ clientId: 'a:b' }, /'clientId' got "a:b"; it takes a string without/],
  [
    { ssl: { ca: '/not/there.pem' } },
    /'ssl.ca' got "\/not\/there.pem"; it takes PEM text or the path of a file/,
  ],
  [{ ssl: { cert: 5 } }, /'ssl.cert' got 5; it takes PEM text/],
  [{ asyncCompression: 'yes' }, /'asyncCompression' got "yes"; it takes true or false/],
  [{ brokerRedirection: { 'a:1': 5 } }, /'brokerRedirection' has an entry 'a:1'/],
  [{ brokerRedirection: 'a:1' }, /'brokerRedirection' got "a:1"; it takes true, false, a function/],
  [
    { reconnectionDelay: { min: 100, max: 10 } },
    /'reconnectionDelay.max' got 10; it takes at least/,
  ],
  [{ logger: { logLevel: 6 } }, /'logger.logLevel' got 6; it takes a whole number/],
  [
    { logger: { logFunction: 'console.log' } },
    /'logger.logFunction' got "console.log"; it takes a function/,
  ],
  [
    { retryOptions: { minTimeout: 20_000 } },
    /'retryOptions.minTimeout' got 20000; it takes at most maxTimeout/,
  ],
  [
    { fallback: { directory: '' } },
    /'fallback.directory' got ""; it takes the path of a directory/,
  ],
  [
    { fallback: { fsync: true } },
    /'fallback.fsync' got true; it takes 'never', 'interval' or 'always'/,
  ],
  [
    { fallback: { retryOptions: { factor: 0 } } },
    /'fallback.retryOptions.factor' got 0; it takes a number/,
  ],
  [{ keyEncoding: 'utf8' }, /'keyEncoding' got "utf8"; it takes 'json' or 'raw'/],
  [{ maxBufferedBytes: 10 }, /'maxBufferedBytes' got 10; it takes a whole number of bytes/],
  [
    { producer: { 'linger.mss': 5 } },
    /'producer\["linger.mss"\]' was refused by librdkafka: No such configuration property/,
  ],
  [{ producer: { 'linger.ms': 'x' } }, /'producer\["linger.ms"\]' was refused/],
  [
    { producer: { 'linger.ms': [] } },
    /'producer\['linger.ms'\]' got an array; it takes a string, a number or a boolean/,
  ],
  [
    { producer: { 'transactional.id': 'x' } },
    /'producer\['transactional.id'\]' is not supported: no transaction would ever be begun/,
  ],
  [
    { producer: { 'test.mock.num.brokers': 3 } },
    /'producer\['test.mock.num.brokers'\]' is not supported: messages would go to a cluster in memory/,
  ],
]

test.each(CASES)('%j is refused', (options, message) => {
  const isPart = options && typeof options === 'object' && Object.keys(options).length > 0
  const all = isPart ? { connectionString: '127.0.0.1:1', ...options } : options
  expect(() => new KafkaPublisher(all)).toThrow(message)
})

test('secrets are not in the error', () => {
  const secret = 's3cret-and-long'
  for (const options of [
    { ssl: { key: secret, cert: __filename } },
    { ssl: { ca: __filename, passphrase: { secret } } },
    { producer: { 'sasl.password': { secret } } },
    { producer: { 'ssl.key.pem': secret, 'security.protocol': 'ssl' } },
  ]) {
    let error
    try {
      new KafkaPublisher({ connectionString: '127.0.0.1:1', ...options })
    } catch (thrown) {
      error = thrown
    }
    expect(error.name).toBe('Error')
    expect(error.message).not.toContain(secret)
  }
})

test('an unknown option is warned about, with the nearest known name', async () => {
  const publisher = makePublisher({
    connectionString: '127.0.0.1:1',
    defaulttopic: 't',
    batch: { maxwait: 5 },
    nothingLikeIt: 1,
  })
  const warned = (text) =>
    until(() => publisher.lines.some((line) => line.level === 'WARN' && line.text === text))
  await warned("unknown option 'defaulttopic' is ignored; did you mean 'defaultTopic'?")
  await warned("unknown option 'batch.maxwait' is ignored; did you mean 'batch.maxWait'?")
  await warned("unknown option 'nothingLikeIt' is ignored")
})

test('an option of tls.connect that has no effect is warned about', async () => {
  const publisher = makePublisher({
    connectionString: '127.0.0.1:1',
    ssl: {
      ca: __filename.replace(/.*/, require.resolve('./support/certificates.js')),
      minVersion: 'TLSv1.2',
    },
    producer: { 'ssl.ca.location': '', 'security.protocol': 'plaintext' },
  })
  await until(() =>
    publisher.lines.some(({ text }) => text.startsWith("option 'ssl.minVersion' has no effect"))
  )
})

test('an instance of a logger class is no bag of unknown options', async () => {
  const lines = []
  class Logger {
    level = 'info'
    transports = []
    error(text) {
      lines.push(text)
    }
    warn(text) {
      lines.push(text)
    }
  }
  const publisher = makePublisher({ connectionString: '127.0.0.1:1', logger: new Logger() })
  publisher.queue(null, {})
  await until(() => lines.some((text) => text.startsWith('message discarded')))
  expect(lines.filter((text) => text.includes('unknown option'))).toEqual([])
})

test('options are copied: changing them later, or sharing them, changes nothing', async () => {
  const options = {
    connectionString: '127.0.0.1:1',
    defaultTopic: 'mine',
    retries: { attempts: 1 },
  }
  const frozen = Object.freeze({ ...options, retries: Object.freeze({ attempts: 1 }) })
  const one = makePublisher(options)
  const two = makePublisher(frozen)
  options.defaultTopic = 'changed'
  one.queue('k', {})
  two.queue('k', {})
  await Promise.all([one.end(), two.end()])
  const { readFallback } = require('./support/publisher')
  expect(readFallback(one.directory)[0].topic).toBe('mine')
  expect(readFallback(two.directory)[0].topic).toBe('mine')
})

test('OAUTHBEARER with OIDC, and every codec, are built in', () => {
  makePublisher({
    connectionString: '127.0.0.1:1',
    producer: {
      'security.protocol': 'sasl_plaintext',
      'sasl.mechanisms': 'OAUTHBEARER',
      'sasl.oauthbearer.method': 'oidc',
      'sasl.oauthbearer.client.id': 'id',
      'sasl.oauthbearer.client.secret': 'secret',
      'sasl.oauthbearer.token.endpoint.url': 'http://127.0.0.1:1/token',
    },
  })
  for (const codec of [0, 1, 2, 'none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    makePublisher({ connectionString: '127.0.0.1:1', codec })
  }
})
