// @platformatic/kafka: producer.send() of whole batches. Its ProducerStream, which collects by itself,
// sends one batch at a time and is slower.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { Batches } from './batches.mjs'

const IN_FLIGHT = 5

// It is an ES module only; `require.resolve` finds none.
export function load({ peers }) {
  const folder = path.join(peers, 'node_modules', '@platformatic', 'kafka')
  const { exports } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
  return import(pathToFileURL(path.join(folder, exports)))
}

export async function open(settings) {
  const { Producer, ProduceAcks, stringSerializers } = await load(settings)
  const producer = new Producer({
    clientId: 'bench',
    bootstrapBrokers: [settings.bootstrap],
    serializers: stringSerializers,
    maxInflights: IN_FLIGHT,
    ...(settings.codec && { compression: settings.codec }),
  })
  const send = (messages) => producer.send({ messages, acks: ProduceAcks.ALL })
  await producer.metadata({ topics: [settings.topic] })
  return new Client(producer, settings, send)
}

class Client {
  #producer
  #topic
  #batches

  constructor(producer, { topic, linger, sendBytes }, send) {
    this.#producer = producer
    this.#topic = topic
    this.#batches = new Batches(send, { linger, limit: sendBytes, inFlight: IN_FLIGHT })
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
