const assert = require('assert')
const support = require('./support.cjs')

const { TOPIC, publisherOf, startCluster, numbers, valuesOf, sumsUp } = support

module.exports = {
  'what is queued is in Kafka, byte for byte and in order': async () => {
    const cluster = startCluster()
    cluster.createTopic(TOPIC, { partitions: 1 })
    const publisher = publisherOf(cluster)
    await publisher.init()
    for (const i of numbers(1000)) {
      assert.strictEqual(publisher.queue(`key ${i % 7}`, { i, text: 'žluťoučký 🐎' }), true)
    }
    await publisher.end()
    const messages = await cluster.readTopic(TOPIC)
    assert.deepStrictEqual(
      messages.map((message) => [message.key.toString(), message.value.toString()]),
      numbers(1000).map((i) => [`"key ${i % 7}"`, JSON.stringify({ i, text: 'žluťoučký 🐎' })])
    )
    assert.deepStrictEqual(support.filesIn(publisher.directory), [])
  },

  'a number and an object are keys, an array and a Date are messages': async () => {
    const cluster = startCluster()
    cluster.createTopic(TOPIC, { partitions: 1 })
    const publisher = publisherOf(cluster)
    const circular = {}
    circular.self = circular
    publisher.queue(1, [1, 2])
    publisher.queue({ id: 1 }, new Date(0))
    publisher.queue('', circular)
    await publisher.end()
    const messages = await cluster.readTopic(TOPIC)
    assert.deepStrictEqual(
      messages.map((message) => `${message.key} ${message.value}`),
      ['1 [1,2]', '{"id":1} "1970-01-01T00:00:00.000Z"', '"" {"self":"[Circular ~]"}']
    )
  },

  'a topic of its own, and a key as it is': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster, { keyEncoding: 'raw' })
    publisher.queue('k', { i: 1 }, 'another')
    await publisher.end()
    const messages = await cluster.readTopic('another')
    assert.deepStrictEqual(
      messages.map((message) => message.key.toString()),
      ['k']
    )
  },

  'the same key goes to the same partition, the one of the Java client': async () => {
    const cluster = startCluster()
    cluster.createTopic(TOPIC, { partitions: 4 })
    const publisher = publisherOf(cluster, { keyEncoding: 'raw' })
    for (const key of ['21', 'foobar', '21', 'foobar']) publisher.queue(key, {})
    await publisher.end()
    const messages = await cluster.readTopic(TOPIC)
    // murmur2('21') is -973932308 and murmur2('foobar') -790332482, as Kafka's own tests have it.
    const partition = { 21: (-973932308 & 0x7fffffff) % 4, foobar: (-790332482 & 0x7fffffff) % 4 }
    assert.strictEqual(messages.length, 4)
    for (const message of messages) {
      assert.strictEqual(message.partition, partition[message.key.toString()])
    }
  },

  'a partitioner, which may answer with a promise, chooses the partition': async () => {
    const cluster = startCluster()
    cluster.createTopic(TOPIC, { partitions: 4 })
    const partitioner = {
      partition: (topic, partitions, message) => {
        assert.strictEqual(topic, TOPIC)
        const chosen = JSON.parse(message.value).i % partitions.length
        return chosen % 2 === 0 ? chosen : Promise.resolve(chosen)
      },
    }
    const publisher = publisherOf(cluster, { partitioner })
    for (const i of numbers(40)) publisher.queue('key', { i })
    await publisher.end()
    const messages = await cluster.readTopic(TOPIC)
    assert.strictEqual(messages.length, 40)
    for (const message of messages) {
      assert.strictEqual(message.partition, JSON.parse(message.value.toString()).i % 4)
    }
  },

  'a failing partitioner is logged, and Kafka’s own is used': async () => {
    const cluster = startCluster()
    const partitioner = {
      partition: () => {
        throw new Error('no idea')
      },
    }
    const publisher = publisherOf(cluster, { partitioner })
    for (const i of numbers(10)) publisher.queue(i, { i })
    await publisher.end()
    const messages = await cluster.readTopic(TOPIC)
    assert.deepStrictEqual(support.sorted(valuesOf(messages).map(({ i }) => i)), numbers(10))
    await support.untilLogged(publisher.lines, ({ text }) => text.indexOf('no idea') !== -1)
  },

  'brokerRedirection is asked for each address': async () => {
    const cluster = startCluster()
    const [host, port] = cluster.connectionString.split(':')
    const asked = []
    const publisher = publisherOf(cluster, {
      connectionString: 'elsewhere:9092',
      brokerRedirection: (from, fromPort) => {
        asked.push(`${from}:${fromPort}`)
        return { host, port: Number(port) }
      },
    })
    publisher.queue('key', { i: 1 })
    await publisher.end()
    assert.strictEqual((await cluster.readTopic(TOPIC)).length, 1)
    assert.ok(asked.indexOf('elsewhere:9092') !== -1)
  },

  'statistics count each message, and can be reset': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster)
    for (const i of numbers(100)) publisher.queue('key', { i })
    assert.ok(sumsUp(publisher.getStatistics()))
    await support.untilSettled(publisher)
    const statistics = publisher.getStatistics()
    assert.strictEqual(statistics.queueCnt, 100)
    assert.strictEqual(statistics.sentCnt, 100)
    assert.strictEqual(statistics.ackLatency.count, 100)
    assert.strictEqual(statistics.state, 'publishing')
    assert.ok(sumsUp(statistics))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(statistics)), statistics)
    publisher.resetStatistics()
    const reset = publisher.getStatistics()
    assert.strictEqual(reset.sentCnt, 0)
    assert.ok(!Number.isNaN(Date.parse(reset.lastReset)))
  },

  'queue() tells when memory is nearly full, and drained() when there is room': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster, { maxBufferedBytes: 65536 })
    let told = 0
    for (const i of numbers(2000)) {
      if (!publisher.queue('key', { i })) {
        told += 1
        await publisher.drained()
      }
    }
    await publisher.end()
    const statistics = publisher.getStatistics()
    assert.ok(told > 0)
    assert.strictEqual(statistics.discardedCnt.total, 0)
    assert.strictEqual(statistics.sentCnt + statistics.fallback.messages, 2000)
  },
}
