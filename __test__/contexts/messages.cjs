// Publishes so many messages with one publisher.

const { KafkaPublisher } = require('../..')
const { MockCluster } = require('../../testing')
const { resources, settledResources } = require('./resources.cjs')

const [, , total, directory] = process.argv
/** The embedded cluster keeps no more than 5 MiB of a partition. */
const TEXT = 'x'.repeat(100)

async function main() {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('topic', { partitions: 1 })
  const publisher = new KafkaPublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 'topic',
    logger: { logLevel: 0 },
    fallback: { directory },
    maxBufferedBytes: 4 * 1024 * 1024,
  })
  let queued = 0
  const publish = async (count) => {
    while (queued < count) {
      if (!publisher.queue(`key ${queued % 100}`, { i: queued++, text: TEXT }))
        await publisher.drained()
    }
    await publisher.drained()
  }

  // Every buffer has its size after the first half.
  await publish(Number(total) / 2)
  const before = resources()
  await publish(Number(total))
  const after = await settledResources(before)
  await publisher.end()
  const { sentCnt, fallback, unaccountedCnt } = publisher.getStatistics()
  cluster.close()
  const counts = { queued, sent: sentCnt, onDisk: fallback.messages, unaccounted: unaccountedCnt }
  console.log(JSON.stringify({ ...counts, before, after }))
}

main()
