// Brokers that end, hang, and come back.

const { elsewhere, unreplicated, PARTLY_BACK } = require('./struck')

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

async function rolling({ cluster, healed }) {
  for (const broker of cluster.brokers) {
    await broker.stop()
    broker.start()
    await cluster.untilWhole()
  }
  healed()
}

module.exports = [
  {
    name: 'rolling',
    what: 'rolling restart of all brokers',
    run: rolling,
  },
  {
    name: 'sigkill',
    what: 'SIGKILL of one broker of three, back after 15 s',
    ...elsewhere,
    ...killed(1, 15),
  },
  {
    name: 'sigkill-unreplicated',
    what: 'SIGKILL of one broker, topics without replicas, back after 15 s',
    ...unreplicated,
    ...killed(1, 15),
  },
  {
    name: 'sigstop',
    what: 'SIGSTOP of one broker of three for 20 s',
    ...elsewhere,
    async run({ cluster, wait, healed }) {
      cluster.brokers[2].pause()
      await wait(20)
      cluster.brokers[2].resume()
      await cluster.untilWhole()
      healed()
    },
  },
  {
    name: 'two-away',
    what: 'two of three brokers killed, NOT_ENOUGH_REPLICAS, back after 20 s',
    ...killed(2, 20),
    expect: PARTLY_BACK,
  },
  {
    name: 'all-away',
    what: 'all brokers killed, back after 60 s',
    ...killed(3, 60),
  },
  {
    name: 'moved',
    what: 'all brokers killed, two of them back at other ports',
    async run({ cluster, wait, healed }) {
      for (const broker of cluster.brokers) await broker.kill()
      for (const broker of cluster.brokers.slice(1)) await cluster.move(broker)
      await wait(12)
      for (const broker of cluster.brokers) broker.start()
      await cluster.untilWhole()
      healed()
    },
    expect: { outages: 1 },
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
  {
    name: 'disk-full',
    needsRoot: true,
    what: "one broker's disk full, freed and the broker started again after 15 s",
    ...elsewhere,
    async run({ cluster, wait, healed }) {
      const [, , broker] = cluster.brokers
      const free = cluster.fill(broker)
      await wait(15)
      free()
      await broker.kill()
      broker.start()
      await cluster.untilWhole()
      healed()
    },
  },
  {
    name: 'rolling-3.9',
    what: 'rolling restart of Kafka 3.9.1',
    cluster: { version: '3.9.1' },
    run: rolling,
  },
  {
    name: 'rolling-2.8',
    what: 'rolling restart of Kafka 2.8.2 with ZooKeeper',
    cluster: { version: '2.8.2' },
    run: rolling,
  },
]
