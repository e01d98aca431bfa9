const assert = require('assert')
const { publisherOf, startCluster } = require('./support.cjs')

const NOBODY = { connectionString: '127.0.0.1:1', retries: { attempts: 1 } }

const failureOf = (promise) =>
  promise.then(
    () => null,
    (error) => error
  )

module.exports = {
  'promises and callbacks are told what became of messages': async () => {
    const cluster = startCluster()
    cluster.createTopic('telling', { partitions: 1 })
    const publisher = publisherOf(cluster, { defaultTopic: 'telling' })
    const first = await publisher.publish('key', { i: 1 })
    const { outcome, topic, offset } = await publisher.publishRecord({ value: 'text' })
    assert.deepStrictEqual([first.offset, outcome, topic, offset], [0, 'kafka', 'telling', 1])
    const receipt = await new Promise((resolve, reject) => {
      const onDelivery = (error, found) => (error ? reject(error) : resolve(found))
      publisher.queue('key', { i: 2 }, { onDelivery })
    })
    assert.strictEqual(receipt.offset, 2)
    const failure = await failureOf(publisher.publish('key', null))
    assert.strictEqual(failure.code, 'ERR_KAFKA_PUBLISHER_BAD_VALUE')
    await publisher.end()
    const late = await failureOf(publisher.publish('key', {}))
    assert.strictEqual(late.code, 'ERR_KAFKA_PUBLISHER_ENDED')
  },

  'without Kafka they are told of the file': async () => {
    const publisher = publisherOf(startCluster(), NOBODY)
    const receipts = await Promise.all([1, 2, 3].map((i) => publisher.publish('key', { i })))
    assert.deepStrictEqual(
      receipts.map(({ outcome }) => outcome),
      ['file', 'file', 'file']
    )
  },

  'listeners hear of states and discards': async () => {
    const publisher = publisherOf(startCluster(), NOBODY)
    const heard = []
    publisher.on('state', (to, from) => heard.push([to, from]))
    publisher.once('discard', (discard) => heard.push(discard))
    publisher.queue('key', null)
    publisher.queue('key', {})
    await publisher.end({ timeoutMs: 0 })
    await new Promise((resolve) => setTimeout(resolve, 0))
    const discards = heard.filter((it) => !Array.isArray(it))
    assert.deepStrictEqual(discards, [{ topic: 'conformance', reason: 'badValue', count: 1 }])
    const states = heard.filter(Array.isArray)
    // The end may come before the beginning.
    assert.strictEqual(states[0][1], 'created')
    assert.strictEqual(states[states.length - 1][0], 'ended')
  },

  'a signal ends the waiting, where there are signals': async () => {
    const publisher = publisherOf(startCluster(), NOBODY)
    if (typeof AbortController === 'undefined') return
    const controller = new AbortController()
    const waiting = failureOf(publisher.init({ signal: controller.signal }))
    controller.abort()
    assert.strictEqual((await waiting).name, 'AbortError')
  },
}
