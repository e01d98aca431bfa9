const { readTopic } = require('./support/consume')
const { TcpProxy } = require('./support/proxy')
const {
  PATIENT,
  endPublishers,
  makePublisher,
  readFallback,
  untilSettled,
} = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')

const SEED = 'seed.invalid:9092'

let kafka
let toSeed
let toLearned
beforeAll(async () => {
  kafka = await sharedKafka()
})
beforeEach(async () => {
  toSeed = await TcpProxy.start(kafka.bootstrap)
  toLearned = await TcpProxy.start(kafka.bootstrap)
})
afterEach(async () => {
  await endPublishers()
  await Promise.all([toSeed.stop(), toLearned.stop()])
})

/** By the broker's address, given or announced: where to go instead. */
const detours = () => ({ [SEED]: toSeed.address, [kafka.bootstrap]: toLearned.address })

async function publish(topic, options) {
  await kafka.createTopic(topic)
  const publisher = makePublisher({
    connectionString: SEED,
    defaultTopic: topic,
    ...PATIENT,
    ...options,
  })
  for (let i = 0; i < 100; i++) publisher.queue('key', { i })
  await publisher.end()
  const arrived = await readTopic(kafka.bootstrap, topic)
  expect(arrived.map(({ value }) => JSON.parse(value).i)).toEqual([...Array(100).keys()])
  // The seed is asked who the brokers are; messages go to the address that is learned.
  expect(toSeed.connections).toBeGreaterThan(0)
  expect(toLearned.connections).toBeGreaterThan(0)
}

test('brokerRedirection as a map replaces addresses, those that are given and those learned', async () => {
  await publish('map', { brokerRedirection: detours() })
})

test('brokerRedirection as a function is asked for each address, with host and port', async () => {
  const asked = new Set()
  await publish('function', {
    brokerRedirection(host, port) {
      asked.add(`${host} ${typeof port} ${port}`)
      const [toHost, toPort] = detours()[`${host}:${port}`].split(':')
      return { host: toHost, port: Number(toPort) }
    },
  })
  expect([...asked].sort()).toEqual([`127.0.0.1 number ${kafka.port}`, 'seed.invalid number 9092'])
})

test('addresses that a map does not have stay as they are', async () => {
  await kafka.createTopic('unmapped')
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'unmapped',
    ...PATIENT,
    brokerRedirection: { [SEED]: toSeed.address },
  })
  publisher.queue('key', {})
  await publisher.end()
  expect(await readTopic(kafka.bootstrap, 'unmapped')).toHaveLength(1)
  expect(toSeed.connections).toBe(0)
})

test.each([
  [
    'throws',
    () => {
      throw new Error('no way')
    },
  ],
  ['returns nothing', () => undefined],
])('a function that %s leaves the address as it is', async (name, brokerRedirection) => {
  const topic = `redirection-${name.replace(' ', '-')}`
  await kafka.createTopic(topic)
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: topic,
    ...PATIENT,
    brokerRedirection,
  })
  publisher.queue('key', {})
  await publisher.end()
  expect(await readTopic(kafka.bootstrap, topic)).toHaveLength(1)
})

test.each([true, false])('brokerRedirection %p does nothing', async (brokerRedirection) => {
  await kafka.createTopic(`redirection-${brokerRedirection}`)
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: `redirection-${brokerRedirection}`,
    ...PATIENT,
    brokerRedirection,
  })
  publisher.queue('key', {})
  await untilSettled(publisher)
  expect(publisher.getStatistics()).toMatchObject({ sentCnt: 1 })
  expect(readFallback(publisher.directory)).toEqual([])
})
