// A process with one publisher, for tests that kill it. Its parent's side is children.js.

const { KafkaPublisher } = require('../..')
const { keyOf, messageOf } = require('./numbered')

const TELL_EVERY = 10

const { name, options, load } = JSON.parse(process.argv[2])

const troubles = []
const publisher = new KafkaPublisher({
  ...options,
  logger: {
    logFunction(level, _clientId, text) {
      if (level === 'ERROR') troubles.push(text)
    },
  },
})
let queued = 0

function queue(count) {
  for (let n = 0; n < count; n++, queued++) {
    publisher.queue(keyOf(name, queued), messageOf(name, queued))
  }
}

// Each is handled by the kernel once it is sent: what was told before SIGKILL arrives.
const tell = (what) => process.send({ what, statistics: publisher.getStatistics(), troubles })

process.on('message', async ({ command, count }) => {
  if (command === 'queue') queue(count)
  if (command === 'end') {
    stop()
    await publisher.end()
    tell('ended')
    process.disconnect()
  }
})

queue(load.first)
tell('started')
const timer = load.perTick > 0 ? setInterval(queue, 10, load.perTick) : null
const teller = setInterval(tell, TELL_EVERY, 'going on')

function stop() {
  clearInterval(timer)
  clearInterval(teller)
}
process.once('disconnect', stop)
