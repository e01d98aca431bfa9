const assert = require('assert')
const { Buffer } = require('buffer')
const { publisherOf, startCluster, sumsUp } = require('./support.cjs')

const hex = (bytes) => (bytes === null ? null : Buffer.from(bytes).toString('hex'))

module.exports = {
  'headers, partition, time, bytes and tombstones arrive as they were queued': async () => {
    const cluster = startCluster()
    cluster.createTopic('records', { partitions: 3 })
    const publisher = publisherOf(cluster, { defaultTopic: 'records' })
    const headers = { text: 'ü', bytes: [new Uint8Array([0, 255]), null] }
    publisher.queue('key', { i: 1 }, { partition: 1, timestamp: 5, headers })
    publisher.tombstone('key', { partition: 1, timestamp: new Date(6) })
    publisher.queueRecord({
      key: new Uint8Array([1, 0]),
      value: 'text',
      partition: 1,
      timestamp: 7,
    })
    publisher.queue('key', {}, { headers: { bad: 5 } })
    await publisher.end()
    const statistics = publisher.getStatistics()
    assert.strictEqual(statistics.sentCnt, 3)
    assert.strictEqual(statistics.discardedCnt.badOptions, 1)
    assert.ok(sumsUp(statistics))
    const read = await cluster.readTopic('records')
    const seen = read.map(({ partition, timestamp, key, value, headerList }) => [
      partition,
      timestamp,
      hex(key),
      hex(value),
      headerList.map(([name, one]) => [name, hex(one)]),
    ])
    assert.deepStrictEqual(seen, [
      [
        1,
        5,
        hex(Buffer.from('"key"')),
        hex(Buffer.from('{"i":1}')),
        [
          ['text', hex(Buffer.from('ü'))],
          ['bytes', '00ff'],
          ['bytes', null],
        ],
      ],
      [1, 6, hex(Buffer.from('"key"')), null, []],
      [1, 7, '0100', hex(Buffer.from('text')), []],
    ])
  },
}
