// Makes publishers that nobody but a function of their own refers to, and prints how many are collected.

const vm = require('node:vm')
const { KafkaPublisher } = require('../..')
const { MockCluster } = require('../../testing')

const COUNT = 5
const [kind, directory] = process.argv.slice(2)

const base = {
  connectionString: '127.0.0.1:1',
  defaultTopic: 't',
  retries: { attempts: 1 },
  logger: { logLevel: 0 },
  fallback: { directory, replay: false },
}
const reaching = {
  'no functions': () => ({}),
  'a logger': (reach) => ({ logger: { logLevel: 1, logFunction: () => reach.publisher } }),
  'a partitioner': (reach) => ({ partitioner: { partition: () => reach.publisher && 0 } }),
  'a redirection': (reach) => ({
    brokerRedirection: (host, port) => reach.publisher && { host, port },
  }),
}

let collected = 0
const registry = new FinalizationRegistry(() => {
  collected++
})

async function make() {
  if (kind === 'a vm context') {
    const context = vm.createContext({ KafkaPublisher, options: base })
    vm.runInContext("publisher = new KafkaPublisher(options); publisher.queue('k', {})", context)
    registry.register(context.publisher)
    return
  }
  const [options, ended] = kind.split(', ')
  const reach = {}
  reach.publisher = new KafkaPublisher({ ...base, ...reaching[options](reach) })
  reach.publisher.queue('k', {})
  registry.register(reach.publisher)
  if (ended) await reach.publisher.end()
}

async function main() {
  for (let i = 0; i < COUNT; i++) await make()
  // The weak references of a cluster that is closed go with it, too.
  new MockCluster({ brokers: 1 }).close()
  const deadline = Date.now() + 30_000
  while (collected < COUNT && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    gc()
  }
  console.log(JSON.stringify({ made: COUNT, collected }))
}

main()
