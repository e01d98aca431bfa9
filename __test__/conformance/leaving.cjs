// A process of its own for ending.cjs: queues 1000 messages and leaves in the way that it is told.

const path = require('path')
const [, , folder, how, connectionString, directory] = process.argv
const { KafkaPublisher } = require(path.resolve(folder))

const publisher = new KafkaPublisher({
  connectionString,
  defaultTopic: 'conformance',
  logger: { logLevel: 0 },
  fallback: { directory },
})
for (let i = 0; i < 1000; i++) publisher.queue('key', { i })

const ways = {
  'by itself': () => {},
  'process.exit': () => process.exit(3),
  exception: () => {
    throw new Error('thrown on purpose')
  },
  SIGTERM: () => {
    const alive = setInterval(() => {}, 60000)
    process.once('SIGTERM', () => publisher.end().then(() => clearInterval(alive)))
    process.kill(process.pid, 'SIGTERM')
  },
}
ways[how]()
