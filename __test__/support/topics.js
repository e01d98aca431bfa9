const { withAdmin } = require('./client')

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
    const created = await withAdmin(this.bootstrap, (admin) =>
      admin.createTopics({ topics, waitForLeaders: true })
    )
    if (!created) throw new Error(`there is a topic ${topic} already`)
  }

  async deleteTopic(topic) {
    await withAdmin(this.bootstrap, (admin) => admin.deleteTopics({ topics: [topic] }))
  }
}

module.exports = { Topics }
