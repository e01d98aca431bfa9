const native = require('./load')

// An `import { KafkaPublisher }` finds the name in the text of this line.
exports.KafkaPublisher = native.KafkaPublisher

// JSON.stringify called from here is compiled code calling compiled code; called from the addon it
// costs a fifth of a message more.
const methods = native.KafkaPublisher.prototype
const queueText = methods.queueText
if (queueText) {
  const queueValue = methods.queue
  const stringify = JSON.stringify
  delete methods.queueText

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
    if (topic === undefined) return queueText.call(this, key, text)
    return queueText.call(this, key, text, topic)
  }
}
