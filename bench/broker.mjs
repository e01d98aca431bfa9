// The Kafka that the contenders publish to: the tests' one, run as a server that is to be fast.

import { withAdmin } from '../__test__/support/client.js'
import { topicEnd } from '../__test__/support/consume.js'
import { Kafka } from '../__test__/support/kafka.js'
import { until } from '../__test__/support/until.js'

/** Both compilers (the tests' brokers have one), and the heap of Kafka's own start script. */
export const JVM = [
  '-Xms1g',
  '-Xmx1g',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
]

const PROPERTIES = {
  // What a finished run has written goes away at once, before the kernel writes it to the disk.
  'log.segment.delete.delay.ms': 0,
  'log.cleaner.enable': false,
}

export class Broker {
  #kafka
  #topics = 0

  static async start() {
    const broker = new Broker()
    broker.#kafka = await Kafka.start({ properties: PROPERTIES, jvm: JVM })
    return broker
  }

  get bootstrap() {
    return this.#kafka.bootstrap
  }

  /**
   * Makes a topic for one run, and deletes it behind `use`.
   *
   * @param {number} partitions
   * @param {(topic: string) => Promise<T>} use
   * @returns {Promise<T>}
   * @template T
   */
  async withTopic(partitions, use) {
    const topic = `bench-${this.#topics++}`
    await withAdmin(this.bootstrap, (admin) => createTopic(admin, topic, partitions))
    try {
      return await use(topic)
    } finally {
      await this.#kafka.deleteTopic(topic)
    }
  }

  /** The number of messages that have arrived in a topic. */
  arrived(topic) {
    return topicEnd(this.bootstrap, topic)
  }

  stop() {
    return this.#kafka.stop()
  }
}

// A broker on a busy machine may not know yet what its controller has made; kafkajs's own way of
// waiting takes that for an error.
async function createTopic(admin, topic, partitions) {
  await admin.createTopics({
    topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }],
    waitForLeaders: false,
  })
  const hasLeaders = async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0].partitions.every(({ leader }) => leader >= 0)
  }
  await until(() => hasLeaders().catch(() => false), { what: `leaders of ${topic}` })
}
