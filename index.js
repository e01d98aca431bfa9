const native = require('./load')

// An `import { KafkaPublisher }` finds the name in the text of this line.
exports.KafkaPublisher = native.KafkaPublisher

// JSON.stringify called from here is compiled code calling compiled code; called from the addon it
// costs a fifth of a message more. And a function that has its publisher with it, kept as a property,
// spares the addon the search for the publisher.
const methods = native.KafkaPublisher.prototype
const bindText = methods.bindText
if (bindText) {
  const queueValue = methods.queue
  const stringify = JSON.stringify
  const TEXT = Symbol('queueText')
  delete methods.bindText

  const bind = (publisher) => {
    const value = bindText.call(publisher)
    // Where this fails, on a frozen publisher say, each message gets a function of its own.
    Reflect.defineProperty(publisher, TEXT, { value })
    return value
  }

  methods.queue = function queue(key, message, topic) {
    let text
    if (typeof message === 'object' && message !== null) {
      try {
        text = stringify(message)
      } catch (_) {
        // A reference to itself, or no JSON: the addon knows what to do.
      }
    }
    if (typeof text !== 'string') return queueValue.call(this, key, message, topic)
    const queueText = this[TEXT] || bind(this)
    if (topic === undefined) return queueText(key, text) === undefined
    return queueText(key, text, topic) === undefined
  }
}
