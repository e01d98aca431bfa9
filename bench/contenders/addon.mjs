// This addon.

import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { Promises } from './promises.mjs'

const require = createRequire(import.meta.url)

export const load = () => require('../..')

/** A connected client. `defaults`: with the options that the README says are the default ones. */
export async function open(settings) {
  const publisher = makePublisher(settings)
  await publisher.init()
  if (settings.promises) {
    const send = (key, value) => publisher.publish(key, value)
    const { promises } = settings
    return new Promises(send, { promises, close: () => publisher.end() })
  }
  return new Client(publisher, WAYS[settings.way])
}

const HEADERS = {
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-xxxx',
  tenant: 'a'.repeat(60),
}
const BYTES = new Map()

/** The bytes of a value, made once: what a serialiser of the caller's would have made. */
function bytesOf(value) {
  if (!BYTES.has(value)) BYTES.set(value, Buffer.from(JSON.stringify(value)))
  return BYTES.get(value)
}

/** Other ways than `queue(key, value)`. */
const WAYS = {
  headers: (publisher, key, value) => publisher.queue(key, value, { headers: HEADERS }),
  record: (publisher, key, value) => publisher.queueRecord({ key, value: bytesOf(value) }),
}

/** A client that does not wait for its connection: `queue()` need not. */
export const openAtOnce = (settings) => new Client(makePublisher({ ...settings, defaults: true }))

/** A publisher without a connection, for what the outage tasks do with it. */
export function makePublisher({ bootstrap, topic, linger, batch, codec, directory, ...others }) {
  const { KafkaPublisher } = load()
  return new KafkaPublisher({
    connectionString: bootstrap,
    defaultTopic: topic,
    ...(others.defaults ? {} : { batch: { size: batch, maxWait: linger } }),
    ...(codec && { codec }),
    ...(others.logger && { logger: others.logger }),
    ...(others.partitioner && { partitioner: others.partitioner }),
    fallback: { directory, ...others.fallback },
  })
}

/** A client of a Kafka that is away, whose acknowledgements are lines in files. */
export async function openInOutage(settings) {
  // That there is no Kafka is no news here.
  const publisher = makePublisher({ ...settings, logger: { logLevel: 1 } })
  const connected = publisher.init()
  await untilState(publisher, 'fallingBack')
  let queued = 0
  return {
    queue: (key, value) => {
      queued++
      return publisher.queue(key, value)
    },
    ready: () => publisher.drained(),
    async flushed() {
      while (publisher.queued() > 0) await delay(1)
      const { fallback, discardedCnt } = publisher.getStatistics()
      if (fallback.messages !== queued) {
        throw new Error(
          `of ${queued} messages ${fallback.messages} are in files, ` +
            `${discardedCnt.total} were discarded`
        )
      }
    },
    async close() {
      await publisher.end()
      await connected
    },
  }
}

// No event tells of a change.
async function untilState(publisher, state) {
  while (publisher.getStatistics().state !== state) await delay(10)
}

class Client {
  #publisher
  #queued = 0
  #way

  constructor(publisher, way) {
    this.#publisher = publisher
    this.#way = way
  }

  queue(key, value) {
    this.#queued++
    if (this.#way) return this.#way(this.#publisher, key, value)
    return this.#publisher.queue(key, value)
  }

  ready() {
    return this.#publisher.drained()
  }

  acked() {
    return this.#queued - this.#publisher.queued()
  }

  // end() would tell, and close; no event tells while the publisher goes on.
  async flushed() {
    while (this.#publisher.queued() > 0) await delay(1)
    const { sentCnt, spilledCnt, discardedCnt, fallback } = this.#publisher.getStatistics()
    if (sentCnt !== this.#queued) {
      throw new Error(
        `of ${this.#queued} messages ${sentCnt} were sent, ${fallback.messages} went to file ` +
          `(${spilledCnt} spilled), ${discardedCnt.total} were discarded`
      )
    }
  }

  /** How many messages took the way through a file. */
  filed() {
    return this.#publisher.getStatistics().filePublisher.mesgCnt
  }

  /** What the addon itself says of the time from librdkafka to the acknowledgement. */
  extra() {
    return { ackLatency: this.#publisher.getStatistics().ackLatency }
  }

  close() {
    return this.#publisher.end()
  }
}
