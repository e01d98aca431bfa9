// Brokers that end, hang, and come back.

/** A topic that has no replica on the third broker, which is the one that is struck. */
const elsewhere = { elsewhere: { on: [1, 2] } }

const killed = (count, seconds) => ({
  async run({ cluster, wait, healed }) {
    const victims = cluster.brokers.slice(-count)
    await Promise.all(victims.map((broker) => broker.kill()))
    await wait(seconds)
    for (const broker of victims) broker.start()
    await cluster.untilWhole()
    healed()
  },
})

module.exports = [
  {
    name: 'rolling',
    what: 'rolling restart of all brokers',
    async run({ cluster, healed }) {
      for (const broker of cluster.brokers) {
        await broker.stop()
        broker.start()
        await cluster.untilWhole()
      }
      healed()
    },
  },
  {
    name: 'sigkill',
    what: 'SIGKILL of one broker of three, back after 15 s',
    topics: elsewhere,
    ...killed(1, 15),
    expect: { elsewhereFiled: 0 },
  },
  {
    name: 'sigkill-unreplicated',
    what: 'SIGKILL of one broker, topics without replicas, back after 15 s',
    topics: Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { replicas: 1 }])),
    async prepare(stage) {
      const { id } = stage.cluster.brokers[2]
      const all = await stage.cluster.partitions(stage.topics)
      stage.struck = all.filter(({ leader }) => leader === id)
    },
    ...killed(1, 15),
    expect: {},
  },
  {
    name: 'sigstop',
    what: 'SIGSTOP of one broker of three for 20 s',
    topics: elsewhere,
    async run({ cluster, wait, healed }) {
      cluster.brokers[2].pause()
      await wait(20)
      cluster.brokers[2].resume()
      await cluster.untilWhole()
      healed()
    },
    expect: { elsewhereFiled: 0 },
  },
  {
    name: 'two-away',
    what: 'two of three brokers killed, NOT_ENOUGH_REPLICAS, back after 20 s',
    ...killed(2, 20),
  },
  {
    name: 'all-away',
    what: 'all brokers killed, back after 30 s',
    ...killed(3, 30),
  },
  {
    name: 'controller',
    what: 'the controller killed, back after 15 s',
    async run({ cluster, wait, healed }) {
      await cluster.controller.kill()
      await wait(15)
      cluster.controller.start()
      await cluster.untilWhole()
      healed()
    },
    expect: { filed: 0 },
  },
]
