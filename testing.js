// `require('kafka-publisher/testing')`. Parses on Node 8. Documented in testing.d.ts.

const testing = require('./load').testing

// Without a prototype: what a program adds to Object.prototype is no part of a descriptor.
function hide(object, value) {
  return Object.defineProperty(object, '_cluster', Object.assign(Object.create(null), { value }))
}

class MockCluster {
  constructor(options) {
    // Hidden: not part of what a test prints or compares.
    hide(this, testing.start(options))
  }

  get connectionString() {
    return testing.connectionString(this._cluster)
  }

  createTopic(topic, options) {
    testing.createTopic(this._cluster, topic, options)
  }

  brokerDown(id) {
    testing.brokerDown(this._cluster, id)
  }

  brokerUp(id) {
    testing.brokerUp(this._cluster, id)
  }

  setLatency(ms, id) {
    testing.setLatency(this._cluster, ms, id)
  }

  failRequests(api, errors) {
    testing.failRequests(this._cluster, api, errors)
  }

  clearFailures(api) {
    testing.clearFailures(this._cluster, api)
  }

  setTopicError(topic, error) {
    testing.setTopicError(this._cluster, topic, error)
  }

  setPartitionLeader(topic, partition, brokerId) {
    testing.setPartitionLeader(this._cluster, topic, partition, brokerId)
  }

  readTopic(topic, options) {
    return keeping(testing.readTopic(this._cluster, topic, options), this._cluster)
  }

  topicEnd(topic, options) {
    return keeping(testing.topicEnd(this._cluster, topic, options), this._cluster)
  }

  close() {
    testing.close(this._cluster)
  }
}

// `using cluster = new MockCluster()`, where the runtime knows of it.
if (typeof Symbol.dispose === 'symbol') {
  Object.defineProperty(MockCluster.prototype, Symbol.dispose, {
    configurable: true,
    writable: true,
    value() {
      this.close()
    },
  })
}

// Or else a cluster that nobody mentions any more could be collected, and end, while it is read.
function keeping(promise, cluster) {
  return hide(promise, cluster)
}

exports.MockCluster = MockCluster
