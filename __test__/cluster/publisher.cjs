// The process under test: a publisher, and a load of numbered messages. The other side is publishing.js.

const { KafkaPublisher } = require('../..')

const TELL_EVERY = 100
const TICK = 10

let publisher
let timer
/** How many messages of each topic were queued; the next one's number. */
const counts = {}
let lines = []

const tasks = {
  open({ options }) {
    publisher = new KafkaPublisher({
      ...options,
      logger: {
        logFunction: (level, _clientId, text) => lines.push({ at: Date.now(), level, text }),
      },
    })
    setInterval(tell, TELL_EVERY)
  },

  load({ topics, perSecond, keys, bytes }) {
    const padding = bytes ? { padding: 'x'.repeat(bytes) } : {}
    const begin = performance.now()
    let total = 0
    timer = setInterval(() => {
      const due = ((performance.now() - begin) * perSecond) / 1000
      for (; total < due; total++) queue(topics[total % topics.length], keys, padding)
    }, TICK)
  },

  stop() {
    clearInterval(timer)
  },

  async end() {
    await publisher.end()
    tell()
    process.disconnect()
    process.exit(0)
  },
}

function queue(topic, keys, padding) {
  counts[topic] ??= 0
  const n = counts[topic]++
  publisher.queue(`key ${(n * 7919) % keys}`, { n, at: Date.now(), ...padding }, topic)
}

function tell() {
  process.send({ at: Date.now(), counts, statistics: publisher.getStatistics(), lines })
  lines = []
}

process.on('message', ({ task, ...rest }) => tasks[task](rest))
process.on('disconnect', () => process.exit(1))
