const assert = require('assert')
const support = require('./support.cjs')

const {
  TOPIC,
  IMPATIENT,
  publisherOf,
  startCluster,
  until,
  untilState,
  untilSettled,
  linesIn,
  numbers,
} = support

module.exports = {
  'in an outage all goes to file, in order; after it to Kafka again': async () => {
    const cluster = startCluster()
    cluster.createTopic(TOPIC, { partitions: 1 })
    const publisher = publisherOf(cluster, IMPATIENT)
    publisher.queue('before', { i: 0 })
    await untilSettled(publisher)

    cluster.brokerDown()
    for (const i of numbers(500)) publisher.queue('during', { i })
    await untilState(publisher, 'fallingBack')
    await untilSettled(publisher)
    const lines = linesIn(publisher.directory)
    assert.deepStrictEqual(
      lines.map(({ topic, key, value }) => ({ topic, key, value })),
      numbers(500).map((i) => ({ topic: TOPIC, key: 'during', value: { i } }))
    )
    assert.ok(lines.every(({ timestamp }) => Math.abs(timestamp - Date.now()) < 60000))

    cluster.brokerUp()
    await untilState(publisher, 'publishing')
    publisher.queue('after', { i: 0 })
    // All that is in memory or in a file; end() alone may leave the last message in a file.
    await until(
      () => publisher.getStatistics().sentCnt >= 502,
      () => `502 messages in Kafka; statistics: ${JSON.stringify(publisher.getStatistics())}`
    )
    await publisher.end()
    const keys = (await cluster.readTopic(TOPIC)).map((message) => message.key.toString())
    assert.ok(keys.indexOf('"before"') !== -1)
    assert.ok(keys.indexOf('"after"') !== -1)
    const statistics = publisher.getStatistics()
    assert.ok(statistics.filePublisher.mesgCnt >= 500)
    assert.ok(support.sumsUp(statistics))
  },

  'a broker that never answers is an outage, too': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster, IMPATIENT)
    await publisher.init()
    cluster.setLatency(60000)
    publisher.queue('key', { i: 1 })
    await untilState(publisher, 'fallingBack')
    await untilSettled(publisher)
    assert.deepStrictEqual(
      linesIn(publisher.directory).map(({ value }) => value),
      [{ i: 1 }]
    )
  },

  'before the first connection messages go to file as well': async () => {
    const cluster = startCluster()
    cluster.brokerDown()
    const publisher = publisherOf(cluster, IMPATIENT)
    for (const i of numbers(10)) publisher.queue('key', { i })
    await untilSettled(publisher)
    assert.strictEqual(linesIn(publisher.directory).length, 10)
  },

  'init() rejects when its retries are used up': async () => {
    const cluster = startCluster()
    cluster.brokerDown()
    const retryOptions = { retries: 2, minTimeout: 50, maxTimeout: 50 }
    const publisher = publisherOf(cluster, Object.assign({}, IMPATIENT, { retryOptions }))
    const error = await publisher.init().then(
      () => null,
      (failure) => failure
    )
    assert.ok(error instanceof Error)
  },
}
