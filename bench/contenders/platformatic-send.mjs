// @platformatic/kafka: producer.send() of batches that the caller collects. Unlike its ProducerStream
// it has several of them under way.

import { Batches } from './batches.mjs'
import { batchSize, load, makeProducer } from './platformatic.mjs'
import { Promises } from './promises.mjs'

export { load }

const IN_FLIGHT = 5

export async function open(settings) {
  const { ProduceAcks } = await load(settings)
  const producer = await makeProducer(settings, { maxInflights: IN_FLIGHT })
  if (settings.promises) {
    const { topic, promises } = settings
    const acks = ProduceAcks.ALL
    const send = (key, value) =>
      producer.send({ messages: [{ topic, key, value: JSON.stringify(value) }], acks })
    return new Promises(send, { promises, close: () => producer.close() })
  }
  return new Client(producer, ProduceAcks.ALL, settings)
}

class Client {
  #producer
  #topic
  #batches

  constructor(producer, acks, settings) {
    this.#producer = producer
    this.#topic = settings.topic
    this.#batches = new Batches((messages) => producer.send({ messages, acks }), {
      linger: settings.linger,
      limit: batchSize(settings) * settings.bytes,
      inFlight: IN_FLIGHT,
    })
  }

  queue(key, value) {
    const text = JSON.stringify(value)
    return this.#batches.add({ topic: this.#topic, key, value: text }, text.length)
  }

  ready() {
    return this.#batches.ready()
  }

  acked() {
    return this.#batches.acked()
  }

  flushed() {
    return this.#batches.flushed()
  }

  close() {
    return this.#producer.close()
  }
}
