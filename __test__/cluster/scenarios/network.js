// Packets that are lost or late.

const { elsewhere, ledElsewhere, unreplicated, PARTLY_BACK } = require('./struck')

const dropped = (victims, seconds) => ({
  async run(stage) {
    const hosts = victims(stage)
    for (const host of hosts) stage.network.drop(host)
    await stage.wait(seconds)
    for (const host of hosts) stage.network.restore(host)
    await stage.cluster.untilWhole()
    stage.healed()
  },
})

const late = (seconds) => ({
  async run({ wait, healed }) {
    healed()
    await wait(seconds)
  },
})

module.exports = [
  {
    name: 'dropped-one',
    what: 'all packets to and from one broker of three dropped for 30 s',
    ...elsewhere,
    ...dropped(({ cluster }) => [cluster.brokers[2].host], 30),
  },
  {
    name: 'dropped-between',
    what: 'packets between one broker and the publisher dropped for 30 s; the brokers are well',
    prepare: ledElsewhere,
    async run({ cluster, network, publisherHost, wait, healed }) {
      const { host } = cluster.brokers[2]
      network.part(host, publisherHost)
      await wait(30)
      network.meet(host, publisherHost)
      healed()
      await wait(8)
    },
    expect: PARTLY_BACK,
  },
  {
    name: 'dropped-unreplicated',
    what: 'all packets to and from one broker dropped for 30 s, topics without replicas',
    ...unreplicated,
    ...dropped(({ cluster }) => [cluster.brokers[2].host], 30),
  },
  {
    name: 'dropped-all',
    what: 'all packets of the publisher dropped for 20 s',
    ...dropped(({ publisherHost }) => [publisherHost], 20),
  },
  {
    name: 'slow',
    what: '100 ± 25 ms and 2.5 % loss each way, 100 partitions',
    topics: { a: { partitions: 100 }, b: { partitions: 100 }, c: null },
    link: { delay: 100, jitter: 25, loss: 2.5 },
    load: { keys: 1000 },
    ...late(30),
    expect: { filedPercent: 2, recoverMs: null },
  },
  {
    name: 'slower',
    what: '200 ± 50 ms and 5 % loss each way',
    link: { delay: 200, jitter: 50, loss: 5 },
    load: { keys: 1000 },
    ...late(30),
    expect: { recoverMs: null },
  },
  {
    name: 'far',
    what: '100 ms each way, 100 partitions on one broker, 1,000 messages/s',
    topics: { a: { partitions: 100, on: [1] }, b: null, c: null },
    link: { delay: 100, jitter: 0, loss: 0 },
    load: { perSecond: 1000, keys: 1000 },
    ...late(20),
    expect: { filedPercent: 2, recoverMs: null },
  },
]
