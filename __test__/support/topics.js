const { withAdmin } = require('./client')
const { until } = require('./until')

/** The topics of the Kafka at `bootstrap`. */
class Topics {
  /** `host:port` */
  bootstrap

  /** Resolves when every partition has a leader. `config`: the topic's own settings. */
  async createTopic(topic, { partitions = 1, config = {} } = {}) {
    const configEntries = Object.entries(config).map(([name, value]) => ({
      name,
      value: String(value),
    }))
    const topics = [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }]
    await withAdmin(this.bootstrap, async (admin) => {
      const created = await admin.createTopics({ topics, waitForLeaders: false })
      if (!created) throw new Error(`there is a topic ${topic} already`)
      await until(() => isLed(admin, topic), { what: `leaders for topic ${topic}` })
    })
  }

  async deleteTopic(topic) {
    await withAdmin(this.bootstrap, (admin) => admin.deleteTopics({ topics: [topic] }))
  }
}

/**
 * When the controller has made a topic, a busy broker has not yet heard of it, and when it can tell who
 * leads it, it does not yet take messages; with acks 0 it would lose them.
 */
async function isLed(admin, topic) {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    if (topics[0].partitions.some(({ leader }) => leader < 0)) return false
    await admin.fetchTopicOffsets(topic)
    return true
  } catch (error) {
    if (error.retriable) return false
    throw error
  }
}

module.exports = { Topics }
