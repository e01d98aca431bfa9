// A worker thread, or a child process, that queues messages and says how many.

const { parentPort, workerData } = require('node:worker_threads')
const { KafkaPublisher } = require('../..')

const { id, count, connectionString, directory } = workerData ?? JSON.parse(process.argv[2])
const publisher = new KafkaPublisher({
  connectionString,
  defaultTopic: 'topic',
  logger: { logLevel: 0 },
  fallback: { directory },
})
for (let i = 0; i < count; i++) publisher.queue('key', { id, i })

// A thread lives until it is terminated; a process ends by itself, and has to lose nothing either.
if (parentPort) {
  parentPort.postMessage(count)
  parentPort.on('message', () => {})
} else {
  process.send(count, () => process.disconnect())
}
