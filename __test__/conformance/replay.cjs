// Fallback files are published again by themselves.

const assert = require('assert')
const support = require('./support.cjs')

const { TOPIC, IMPATIENT, publisherOf, startCluster, untilState, untilSettled, filesIn, until } =
  support

module.exports['after an outage its files are published again, and vanish'] = async () => {
  const cluster = startCluster()
  cluster.createTopic(TOPIC, { partitions: 1 })
  const publisher = publisherOf(cluster, IMPATIENT)
  await publisher.init()
  cluster.brokerDown()
  for (const i of support.numbers(500)) publisher.queue('key', { i })
  await untilState(publisher, 'fallingBack')
  await untilSettled(publisher)

  cluster.brokerUp()
  await until(
    () => publisher.getStatistics().replay.replayedCnt >= 500,
    () => `the replay; statistics: ${JSON.stringify(publisher.getStatistics())}`
  )
  await until(
    () => publisher.getStatistics().fallback.messages === 0,
    () => `no messages in files; statistics: ${JSON.stringify(publisher.getStatistics())}`
  )
  await publisher.end()
  assert.deepStrictEqual(filesIn(publisher.directory), [])
  const values = support.valuesOf(await cluster.readTopic(TOPIC))
  const found = new Set(values.map(({ i }) => i))
  assert.deepStrictEqual(support.sorted(Array.from(found)), support.numbers(500))
  assert.ok(support.sumsUp(publisher.getStatistics()))
}
