// Scenarios that strike the third broker, and what must not notice it.

/** A topic that has no replica there. */
const elsewhere = {
  topics: { elsewhere: { on: [1, 2] } },
  calm: ['elsewhere'],
}

/** Partitions that another broker leads. */
async function ledElsewhere(stage) {
  const { id } = stage.cluster.brokers[2]
  const all = await stage.cluster.partitions(stage.topics)
  stage.isCalm = (topic, partition) =>
    all.some((one) => one.topic === topic && one.partition === partition && one.leader !== id)
}

/** One broker is tried again after `reconnectionDelay.max`, a partition after `retryOptions.maxTimeout`. */
const PARTLY_BACK = { recoverMs: 11_000 }

/** Topics of which a third of the partitions is there and nowhere else. */
const unreplicated = {
  topics: Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { replicas: 1 }])),
  prepare: ledElsewhere,
  expect: PARTLY_BACK,
}

module.exports = { elsewhere, ledElsewhere, unreplicated, PARTLY_BACK }
