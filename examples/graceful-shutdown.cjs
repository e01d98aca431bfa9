// A service that accounts for every message before it ends: SIGTERM -> end(). Without a handler the
// signal ends the process at once, and what is in memory is lost. This one sends the signal to
// itself. Run it with `node examples/graceful-shutdown.cjs`.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { KafkaPublisher } = require('kafka-publisher')
const { MockCluster } = require('kafka-publisher/testing')

async function main() {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('ticks')
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'graceful-shutdown-'))
  const kp = new KafkaPublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 'ticks',
    fallback: { directory },
  })

  let tick = 0
  const service = setInterval(() => kp.queue('clock', { tick: tick++ }), 5)

  async function shutDown(signal) {
    console.log(`${signal}: ${kp.queued()} messages in memory`)
    // First the work that queues messages, then the publisher.
    clearInterval(service)
    await kp.end()
    const { queueCnt, sentCnt, fallback, discardedCnt } = kp.getStatistics()
    console.log(`${queueCnt} queued: ${sentCnt} in Kafka, ${fallback.messages} in files`)
    cluster.close()
    fs.rmSync(directory, { recursive: true })
    if (sentCnt !== tick || discardedCnt.total > 0) process.exitCode = 1
  }
  process.once('SIGTERM', shutDown)
  process.once('SIGINT', shutDown)

  setTimeout(() => process.kill(process.pid, 'SIGTERM'), 500)
}

main()
