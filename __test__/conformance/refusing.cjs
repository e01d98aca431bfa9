const assert = require('assert')
const { KafkaPublisher, publisherOf, startCluster, sumsUp, untilLogged } = require('./support.cjs')

module.exports = {
  'bad input is logged, counted and discarded; queue() never throws': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster, { defaultTopic: undefined })
    const throwing = {
      toJSON: () => {
        throw new Error('no JSON')
      },
    }
    const keys = [null, undefined, true, Symbol('key'), () => 1]
    const values = [null, undefined, 'text', 1, true, throwing]
    for (const key of keys) publisher.queue(key, {}, 'topic')
    for (const value of values) publisher.queue('key', value, 'topic')
    publisher.queue('key', {})
    publisher.queue('key', {}, 'a bad topic')
    publisher.queue('key', { i: 1 }, 'topic')
    await publisher.end()
    publisher.queue('key', {}, 'topic')
    const statistics = publisher.getStatistics()
    const { discardedCnt } = statistics
    assert.strictEqual(discardedCnt.badKey, keys.length)
    assert.strictEqual(discardedCnt.badValue, values.length)
    assert.strictEqual(discardedCnt.noTopic, 1)
    assert.strictEqual(discardedCnt.badTopic, 1)
    assert.strictEqual(discardedCnt.ended, 1)
    assert.strictEqual(discardedCnt.total, keys.length + values.length + 3)
    assert.strictEqual(statistics.sentCnt, 1)
    assert.ok(sumsUp(statistics))
    assert.strictEqual((await cluster.readTopic('topic')).length, 1)
  },

  'a wrong option makes the constructor throw an Error that names it': async () => {
    const connectionString = '127.0.0.1:9092'
    const wrong = [
      [{}, /connectionString/],
      [{ connectionString, batch: { size: 'big' } }, /batch\.size/],
      [{ connectionString, partitioner: {} }, /partitioner/],
      [{ connectionString, producer: { 'no.such.property': 1 } }, /no\.such\.property/],
    ]
    for (const [options, name] of wrong) {
      assert.throws(
        () => new KafkaPublisher(options),
        (error) => error instanceof Error && name.test(error.message)
      )
    }
  },

  'an unknown option is warned about': async () => {
    const publisher = publisherOf(startCluster(), { batchsize: 1 })
    await publisher.end()
    const isIt = ({ level, text }) => level === 'WARN' && /batchsize/.test(text)
    await untilLogged(publisher.lines, isIt)
  },
}
