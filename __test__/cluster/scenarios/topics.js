// Changes of topics while messages are published to them.

module.exports = [
  {
    name: 'partitions',
    what: 'partitions added, from 6 to 12',
    async run({ cluster, topics, wait, healed }) {
      await wait(2)
      await cluster.admin((admin) =>
        admin.createPartitions({ topicPartitions: topics.map((topic) => ({ topic, count: 12 })) })
      )
      await cluster.untilWhole()
      healed()
      await wait(5)
    },
    expect: { filed: 0 },
  },
]
