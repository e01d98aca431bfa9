// A process that publishes numbered messages with one module or another, until its parent says stop.

const [moduleName, bootstrap, directory, topic, id] = process.argv.slice(2)
const { KafkaPublisher } = require(moduleName)

const INTERVAL = 10
/** 3.2.0 does not tell when what is no longer pending is in its file. */
const SETTLING = 2000

const publisher = new KafkaPublisher({
  defaultTopic: topic,
  producer: { 'metadata.broker.list': bootstrap, 'message.timeout.ms': 2000 },
  retryOptions: { minTimeout: 200, maxTimeout: 500 },
  fallback: { directory },
  logging: { level: 'silent', enabled: false },
})
publisher.init()

let n = 0
const load = setInterval(() => publisher.queue(id, { id, n: n++ }), INTERVAL)

process.on('message', () => {
  clearInterval(load)
  const looking = setInterval(() => {
    if (publisher.pending() > 0) return
    clearInterval(looking)
    setTimeout(() => {
      publisher.shutdown().then(() => process.send({ queued: n }, () => process.exit(0)))
    }, SETTLING)
  }, 50)
})
process.send('started')
