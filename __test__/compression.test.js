const { CompressionCodecs } = require('kafkajs')
const { readTopic } = require('./support/consume')
const { PATIENT, endPublishers, makePublisher } = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

// The numbers in a batch's attributes.
const WIRE = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }
const unwrapped = { ...CompressionCodecs }
let seen

// What reads the topic back looks up the codec of each compressed batch here.
beforeEach(() => {
  seen = new Set()
  for (const [type, codec] of Object.entries(unwrapped)) {
    if (!codec) continue
    CompressionCodecs[type] = () => {
      seen.add(Number(type))
      return codec()
    }
  }
})
afterAll(() => Object.assign(CompressionCodecs, unwrapped))

test.each([
  [0, 'none'],
  [1, 'gzip'],
  [2, 'snappy'],
  ['none', 'none'],
  ['gzip', 'gzip'],
  ['snappy', 'snappy'],
  ['lz4', 'lz4'],
  ['zstd', 'zstd'],
])('codec %p: messages arrive, and their batches are %s', async (codec, name) => {
  const topic = `codec-${typeof codec}-${codec}`
  await kafka.createTopic(topic)
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: topic,
    ...PATIENT,
    codec,
  })
  const values = Array.from({ length: 1000 }, (_, i) => ({ i, text: 'compressible '.repeat(9) }))
  for (const value of values) publisher.queue('key', value)
  await publisher.end()

  const arrived = await readTopic(kafka.bootstrap, topic)
  expect(arrived.map(({ value }) => value.toString())).toEqual(
    values.map((value) => JSON.stringify(value))
  )
  expect([...seen]).toEqual(name === 'none' ? [] : [WIRE[name]])
})
