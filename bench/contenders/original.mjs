// kafka-publisher 3.2.0, the JavaScript package that this addon replaces, on node-rdkafka 3.6.1 (the
// 2.13 that it asks for does not compile on Node.js 20).

import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { Deliveries } from './deliveries.mjs'

// It has no back-pressure. What exceeds librdkafka's own bound of 100,000 messages, or is not
// acknowledged within 10 s, goes to file.
const MOST_QUEUED = 50_000
const MOST_BYTES = 50_000_000
const MOST_LINES = 1000
const POLL_INTERVAL = 5

export const load = ({ peers }) =>
  createRequire(path.join(peers, 'package.json'))('kafka-publisher')

export async function open(settings) {
  const publisher = makePublisher(settings)
  await publisher.init()
  return new Client(publisher, Math.min(MOST_QUEUED, Math.ceil(MOST_BYTES / settings.bytes)))
}

function makePublisher(settings) {
  const { KafkaPublisher } = load(settings)
  return new KafkaPublisher({
    defaultTopic: settings.topic,
    producer: {
      'metadata.broker.list': settings.bootstrap,
      acks: -1,
      'linger.ms': settings.linger,
      'batch.size': settings.batch,
      'compression.codec': settings.codec ?? 'none',
    },
    producerPollIntervalMs: POLL_INTERVAL,
    fallback: { directory: settings.directory },
    logging: { level: 'silent' },
  })
}

class Client {
  #publisher
  #deliveries
  #settle = (error) => {
    if (error) this.#deliveries.failed(error)
    else this.#deliveries.acked()
  }

  constructor(publisher, most) {
    this.#publisher = publisher
    this.#deliveries = new Deliveries(most)
  }

  queue(key, value) {
    this.#publisher.queue(key, value, undefined, this.#settle)
    return this.#deliveries.sent()
  }

  ready() {
    return this.#deliveries.ready()
  }

  acked() {
    return this.#deliveries.ackedCount
  }

  flushed() {
    return this.#deliveries.flushed()
  }

  close() {
    return this.#publisher.shutdown()
  }
}

/**
 * A client of a Kafka that is away, whose acknowledgements are lines in files. The package does not
 * tell when a line is written, so its calls of `fs.appendFile` are counted; and with no bound it
 * would open more files than a process may, so `ready()` keeps to a thousand lines at a time.
 */
export async function openInOutage(settings) {
  const deliveries = new Deliveries(MOST_LINES)
  const { appendFile } = fs
  fs.appendFile = (file, text, options, callback) => {
    appendFile(file, text, options, (error) => {
      if (error) deliveries.failed(error)
      else deliveries.acked()
      callback(error)
    })
  }
  const publisher = makePublisher(settings)
  // Never resolves without a Kafka.
  publisher.init()
  return {
    queue: (key, value) => {
      publisher.queue(key, value)
      return deliveries.sent()
    },
    ready: () => deliveries.ready(),
    flushed: () => deliveries.flushed(),
    // There is no end of it without a Kafka; the process is about to exit.
    close: async () => {},
  }
}
