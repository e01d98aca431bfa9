// The Kafka that the contenders publish to: the tests' one, run as a server that is to be fast.

import { topicEnd } from '../__test__/support/consume.js'
import { Kafka } from '../__test__/support/kafka.js'

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
    await this.#kafka.createTopic(topic, { partitions })
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
