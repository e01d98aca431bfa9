const native = require('./load')

// An `import { KafkaPublisher }` finds the name in the text of this line.
exports.KafkaPublisher = native.KafkaPublisher
