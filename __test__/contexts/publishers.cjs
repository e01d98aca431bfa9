// Makes and ends so many publishers, ten at a time, each with messages of its own.

const { KafkaPublisher } = require('../..')
const { MockCluster } = require('../../testing')
const { resources, settledResources } = require('./resources.cjs')

const [, , total, directory] = process.argv
const PER_PUBLISHER = 5

async function main() {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('topic', { partitions: 1 })
  const connectionString = cluster.connectionString
  let made = 0
  const sums = { sent: 0, onDisk: 0, unaccounted: 0 }
  const one = async () => {
    const publisher = new KafkaPublisher({
      connectionString,
      defaultTopic: 'topic',
      batch: { maxWait: 0 },
      logger: { logLevel: 0 },
      fallback: { directory },
    })
    made += 1
    for (let i = 0; i < PER_PUBLISHER; i++) publisher.queue('key', { i })
    await publisher.end()
    const statistics = publisher.getStatistics()
    sums.sent += statistics.sentCnt
    sums.onDisk += statistics.fallback.messages
    sums.unaccounted += statistics.unaccountedCnt
  }
  const batchOfTen = () => Promise.all(Array.from({ length: 10 }, one))

  // The allocator, the thread pools and librdkafka's globals have their size after the first ones.
  while (made < Number(total) / 2) await batchOfTen()
  const before = resources()
  while (made < Number(total)) await batchOfTen()
  const after = await settledResources(before)
  cluster.close()
  console.log(JSON.stringify({ queued: made * PER_PUBLISHER, ...sums, before, after }))
}

main()
