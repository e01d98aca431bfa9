// What listeners hear of a publisher: `on('state' | 'discard' | 'replayed' | 'spill')`, and Node.js's diagnostics
// channels of the same names. Parses on Node.js 8.

const NAMES = ['state', 'discard', 'replayed', 'spill']

/** The arguments of an event, from what the addon tells: `news.rs` has the same names. */
const ARGUMENTS = {
  state: (item) => [item.to, item.from],
  discard: (item) => [{ topic: item.topic, reason: item.reason, count: item.count }],
  replayed: (item) => [{ file: item.file }],
  spill: (item) => [{ count: item.count }],
}

/** Node.js's channels, where it has them. Deno and Bun have the module, too. */
function channelsOf(require) {
  try {
    const { channel } = require('diagnostics_channel')
    const channels = {}
    for (const name of NAMES) channels[name] = channel('kafka-publisher:' + name)
    return channels
  } catch (_error) {
    return undefined
  }
}

class Events {
  /** @param publisher whose events they are */
  constructor(publisher) {
    this.publisher = publisher
    this.emitter = undefined
    this.channels = channelsOf(require)
    this.hear = this.hear.bind(this)
  }

  /** Made for the first listener: whoever has none pays for none. */
  listeners() {
    if (!this.emitter) {
      const EventEmitter = require('events')
      this.emitter = new EventEmitter()
    }
    return this.emitter
  }

  /** What the addon tells, of many at once, as JSON. */
  hear(text) {
    for (const item of JSON.parse(text)) {
      // Each by itself: what a listener throws is its program's uncaught exception, and keeps nothing else back.
      process.nextTick(tell, this, item)
    }
  }
}

function tell(events, item) {
  const name = item.event
  const channel = events.channels && events.channels[name]
  if (channel && channel.hasSubscribers) {
    const message = Object.assign({}, item, { publisher: events.publisher })
    delete message.event
    channel.publish(message)
  }
  if (events.emitter) events.emitter.emit(name, ...ARGUMENTS[name](item))
}

module.exports = { Events }
