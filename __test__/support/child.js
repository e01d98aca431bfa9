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

/** Returns whether there is room for more. */
function queueOne() {
  const hasRoom = publisher.queue(keyOf(name, queued), messageOf(name, queued))
  queued++
  return hasRoom
}

function queue(count) {
  for (let n = 0; n < count; n++) queueOne()
}

// On a slow machine so much would be more than it writes to disk, and than fits into memory.
let resting = false
async function tick(count) {
  if (resting) return
  for (let n = 0; n < count; n++) {
    if (queueOne()) continue
    resting = true
    await publisher.drained()
    resting = false
    return
  }
}

// Each is handled by the kernel once it is sent: what was told before SIGKILL arrives. While the
// parent is held up, nothing more is told.
let telling = false
function tell(what) {
  telling = true
  process.send({ what, statistics: publisher.getStatistics(), troubles }, () => {
    telling = false
  })
}

process.on('message', async ({ command, count }) => {
  if (command === 'queue') queue(count)
  if (command === 'rest') {
    clearInterval(timer)
    tell('resting')
  }
  if (command === 'end') {
    stop()
    await publisher.end()
    tell('ended')
    process.disconnect()
  }
})

queue(load.first)
tell('started')
const timer = load.perTick > 0 ? setInterval(tick, 10, load.perTick) : null
const teller = setInterval(() => telling || tell('going on'), TELL_EVERY)

function stop() {
  clearInterval(timer)
  clearInterval(teller)
}
process.once('disconnect', stop)
