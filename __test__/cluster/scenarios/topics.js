// Changes of topics while messages are published to them.

module.exports = [
  {
    name: 'partitions',
    what: 'partitions added, from 6 to 12',
    async run({ cluster, topics, wait, healed }) {
      await cluster.admin((admin) =>
        admin.createPartitions({ topicPartitions: topics.map((topic) => ({ topic, count: 12 })) })
      )
      await cluster.untilWhole()
      healed()
      await wait(5)
    },
    expect: { filed: 0 },
  },
  {
    name: 'recreated',
    what: 'a topic deleted, and made again after 4 s',
    calm: ['b', 'c'],
    async run(stage) {
      const { cluster, topics, wait } = stage
      const [topic] = topics
      await cluster.admin((admin) => admin.deleteTopics({ topics: [topic] }))
      // All that went to the old one is gone with it, and nobody's fault; what comes now is not.
      await wait(1)
      stage.gone = { [topic]: stage.publishing.last.counts[topic] }
      await wait(3)
      await stage.createTopic(topic)
      stage.healed()
      await wait(6)
    },
    // The topic is tried again after 10 s at most.
    expect: { recoverMs: 11_000 },
  },
  {
    name: 'old',
    what: 'topics that refuse messages older than 3 s, all brokers frozen for 7 s',
    topics: Object.fromEntries(
      ['a', 'b', 'c'].map((name) => [
        name,
        {
          config: {
            'message.timestamp.type': 'CreateTime',
            'message.timestamp.before.max.ms': 3000,
          },
        },
      ])
    ),
    async run({ cluster, wait, healed }) {
      for (const broker of cluster.brokers) broker.pause()
      await wait(7)
      for (const broker of cluster.brokers) broker.resume()
      await cluster.untilWhole()
      healed()
      await wait(10)
    },
    // The time of appending is not in the messages here.
    expect: { longestMs: null, recoverMs: 11_000 },
  },
]
