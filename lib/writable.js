// A stream that queues what is written to it. Parses on Node.js 8.

/**
 * @param publisher whose `queue()` and `drained()` are called
 * @param {{topic?: string, key?: any}} options `key`: a function of the message, or the same for all
 */
function writableOf(publisher, options) {
  // Not before somebody asks for one: a service that does not pays nothing for it.
  const { Writable } = require('stream')
  const topic = options && options.topic
  const key = options && options.key
  const keyOf = typeof key === 'function' ? key : () => key
  return new Writable({
    objectMode: true,
    // The publisher's own memory is the buffer; this only has what is on its way there.
    highWaterMark: 16,
    write(message, _encoding, done) {
      let room
      try {
        room = publisher.queue(keyOf(message), message, topic)
      } catch (error) {
        return done(error)
      }
      if (room) return done()
      publisher.drained().then(() => done(), done)
    },
  })
}

module.exports = { writableOf }
