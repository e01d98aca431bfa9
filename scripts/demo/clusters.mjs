// The two kinds of cluster that the demo runs against, and how each of them goes away and returns.

import { MockCluster } from 'kafka-publisher/testing'
import { withAdmin } from '../../__test__/support/client.js'
import { StepFailed } from '../command.mjs'

const PARTITIONS = 12
const OUTAGE = 6000
const RECOVERY_LIMIT = 15_000

/** librdkafka's mock cluster, in this process. */
export function startEmbedded(topic) {
  const cluster = new MockCluster({ brokers: 3 })
  cluster.createTopic(topic, { partitions: PARTITIONS })
  return {
    title: 'embedded cluster, 3 brokers',
    bootstrap: cluster.connectionString,
    fromOffsets: {},
    expectedOutage: OUTAGE,

    async outage({ step, pause, untilState }) {
      cluster.brokerDown()
      step('all three brokers are down', OUTAGE)
      // Also if the demo is interrupted meanwhile: the topic is still to be read back.
      await pause(OUTAGE).finally(() => cluster.brokerUp())
      step('all three brokers are up again; the publisher is about to notice')
      await untilState('publishing', RECOVERY_LIMIT)
    },

    close: () => cluster.close(),
  }
}

/** A cluster that somebody else runs, who is told when to stop and to start it. */
export async function useReal(bootstrap, topic) {
  const fromOffsets = await withAdmin(bootstrap, (admin) => prepareTopic(admin, topic)).catch(
    (error) => {
      throw new StepFailed(`${bootstrap}, topic ${topic}: ${error.message}`)
    }
  )
  return {
    title: bootstrap,
    bootstrap,
    fromOffsets,
    expectedOutage: 30_000,

    async outage({ step, ask, pause, untilState }) {
      ask(`now stop the broker ${bootstrap} (all, if there are several); waiting until it is gone`)
      await untilState('fallingBack')
      step('the broker is gone, messages go to file; leave it stopped', 3000)
      await pause(3000)
      ask(`now start the broker ${bootstrap} again; waiting until it answers`)
      await untilState('publishing')
    },

    close() {},
  }
}

/** Makes the topic if it is missing. Returns where this run's messages will begin. */
async function prepareTopic(admin, topic) {
  if (!(await admin.listTopics()).includes(topic)) {
    await admin.createTopics({
      topics: [{ topic, numPartitions: PARTITIONS }],
      waitForLeaders: true,
    })
  }
  const offsets = await admin.fetchTopicOffsets(topic)
  return Object.fromEntries(offsets.map(({ partition, high }) => [partition, Number(high)]))
}
