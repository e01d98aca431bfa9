// All scenarios, those of one cluster together. A scenario:
//
//   name, what    for the command line, for the table
//   run(stage)    does the damage and mends it; `stage.healed()` says when it is mended
//   cluster       which Kafka: `{version}` (default: the newest, with SASL and ACLs)
//   topics        by name what differs from 6 partitions with 3 replicas; a, b and c are there anyway
//   calm          names of topics that must not notice
//   needsRoot     cannot be played without namespaces of one's own
//   link, load, options, prepare, warmUp, expect: see runner.js

const scenarios = [
  ...require('./topics'),
  ...require('./brokers'),
  ...require('./network'),
  ...require('./security'),
]

module.exports = scenarios.map((scenario) => ({ cluster: { security: true }, ...scenario }))
