// node-rdkafka: its Producer with delivery reports, polled on an interval, as its README has it.

import { once } from 'node:events'
import { createRequire } from 'node:module'
import path from 'node:path'
import { Deliveries } from './deliveries.mjs'

// librdkafka's own bound is 100,000 messages; a caller has to stay below it or catch its error.
const MOST_QUEUED = 100_000
const POLL_INTERVAL = 5
const CLOSE_LIMIT = 10_000

export const load = ({ peers }) => createRequire(path.join(peers, 'package.json'))('node-rdkafka')

export async function open(settings) {
  const { Producer } = load(settings)
  const producer = new Producer({
    'metadata.broker.list': settings.bootstrap,
    acks: -1,
    'linger.ms': settings.linger,
    'batch.size': settings.batch,
    'compression.codec': settings.codec ?? 'none',
    partitioner: 'murmur2_random',
    dr_cb: true,
  })
  producer.setPollInterval(POLL_INTERVAL)
  producer.on('event.error', (error) => console.error(`node-rdkafka: ${error.message}`))
  const ready = once(producer, 'ready')
  producer.connect()
  await ready
  return new Client(producer, settings.topic)
}

class Client {
  #producer
  #topic
  #deliveries = new Deliveries(MOST_QUEUED)

  constructor(producer, topic) {
    this.#producer = producer
    this.#topic = topic
    producer.on('delivery-report', (error) => {
      if (error) this.#deliveries.failed(error)
      else this.#deliveries.acked()
    })
  }

  queue(key, value) {
    this.#producer.produce(this.#topic, null, Buffer.from(JSON.stringify(value)), key)
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
    return new Promise((resolve, reject) => {
      this.#producer.disconnect(CLOSE_LIMIT, (error) => (error ? reject(error) : resolve()))
    })
  }
}
