// The service of examples/from-v3, written for 3.2.0, with `kafka-publisher/v3`.

const { readTopic } = require('./support/consume')
const { endPublishers, makeDirectory, readFallback } = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')
const { useService } = require('./v3/service')

afterEach(endPublishers)

test('it takes orders and payments, shows statistics, logs with pino, and ends on SIGTERM', async () => {
  const kafka = await sharedKafka()
  await kafka.createTopic('v3-service', { partitions: 10 })
  const directory = makeDirectory()
  const seen = await useService({
    node: process.execPath,
    bootstrap: kafka.bootstrap,
    topic: 'v3-service',
    directory,
  })
  expect(seen).toMatchObject({ ended: [0, null], name: true, counts: [220, expect.any(Number)] })
  expect(
    seen.orders.every(({ status }, id) => status === 202 && seen.orders[id].body.accepted === id)
  ).toBe(true)
  expect(new Set(seen.payments.map(([status]) => status))).toEqual(new Set([201]))
  expect(seen.statistics).toEqual(
    expect.arrayContaining(['ackSuccessCnt', 'kafkaReady', 'mesgCnt'])
  )
  const read = await readTopic(kafka.bootstrap, 'v3-service')
  expect(read).toHaveLength(220)
  const order = read.find(({ key }) => key.toString() === '7')
  expect(JSON.parse(order.value)).toEqual({
    receivedBy: 'orders-service',
    id: 7,
    items: [{ sku: 's-7', count: 1 }],
  })
  expect(readFallback(directory)).toEqual([])
})
