// All scenarios, those of one cluster together. `cluster`: which one (default: the plain one).

module.exports = [...require('./topics'), ...require('./brokers'), ...require('./network')]
