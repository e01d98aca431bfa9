// @platformatic/kafka: its ProducerStream, which collects messages and asks for back-pressure by itself.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { Deliveries } from './deliveries.mjs'

const BATCHES_WAITING = 4

// It is an ES module only; `require.resolve` finds none.
export function load({ peers }) {
  const folder = path.join(peers, 'node_modules', '@platformatic', 'kafka')
  const { exports } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
  return import(pathToFileURL(path.join(folder, exports)))
}

export async function makeProducer(settings, options) {
  const { Producer, stringSerializers } = await load(settings)
  const producer = new Producer({
    clientId: 'bench',
    bootstrapBrokers: [settings.bootstrap],
    serializers: stringSerializers,
    ...(settings.codec && { compression: settings.codec }),
    ...options,
  })
  await producer.metadata({ topics: [settings.topic] })
  return producer
}

/** The number of messages with which it is the fastest: few large ones, many small ones. */
export function batchSize({ bytes, batchBytes = Infinity }) {
  const best = Math.max(100, Math.min(600, Math.round(250_000 / bytes)))
  return Math.min(best, Math.ceil(batchBytes / bytes))
}

export async function open(settings) {
  const { ProduceAcks, ProducerStreamReportModes } = await load(settings)
  const producer = await makeProducer(settings)
  const size = batchSize(settings)
  const stream = producer.asStream({
    acks: ProduceAcks.ALL,
    batchSize: size,
    batchTime: settings.linger,
    highWaterMark: BATCHES_WAITING * size,
    reportMode: ProducerStreamReportModes.BATCH,
  })
  return new Client(producer, stream, settings.topic)
}

class Client {
  #producer
  #stream
  #topic
  #deliveries = new Deliveries()

  constructor(producer, stream, topic) {
    this.#producer = producer
    this.#stream = stream
    this.#topic = topic
    stream.on('delivery-report', ({ count }) => this.#deliveries.acked(count))
    stream.on('error', (error) => this.#deliveries.failed(error))
  }

  queue(key, value) {
    this.#deliveries.sent()
    return this.#stream.write({ topic: this.#topic, key, value: JSON.stringify(value) })
  }

  async ready() {
    await once(this.#stream, 'drain')
  }

  acked() {
    return this.#deliveries.ackedCount
  }

  flushed() {
    return this.#deliveries.flushed()
  }

  async close() {
    await this.#stream.close()
    await this.#producer.close()
  }
}
