// kafkajs: producer.send() of whole batches.

import { createRequire } from 'node:module'
import path from 'node:path'
import { Batches } from './batches.mjs'
import { Promises } from './promises.mjs'

const IN_FLIGHT = 5
const ALL = -1
/** With which it is the fastest. */
const BATCH_BYTES = 250_000
const LEAST_MESSAGES = 100

export const load = ({ peers }) => createRequire(path.join(peers, 'package.json'))('kafkajs')

export async function open(settings) {
  const { Kafka, Partitioners, logLevel } = load(settings)
  const kafka = new Kafka({
    clientId: 'bench',
    brokers: [settings.bootstrap],
    logLevel: logLevel.ERROR,
  })
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    maxInFlightRequests: IN_FLIGHT,
    allowAutoTopicCreation: false,
  })
  await producer.connect()
  if (settings.promises) {
    const { topic, promises } = settings
    const send = (key, value) =>
      producer.send({ topic, acks: ALL, messages: [{ key, value: JSON.stringify(value) }] })
    return new Promises(send, { promises, close: () => producer.disconnect() })
  }
  return new Client(producer, settings)
}

class Client {
  #producer
  #batches

  constructor(producer, { topic, linger, bytes, batchBytes = Infinity }) {
    this.#producer = producer
    const send = (messages) => producer.send({ topic, acks: ALL, messages })
    this.#batches = new Batches(send, {
      linger,
      limit: Math.min(batchBytes, Math.max(BATCH_BYTES, LEAST_MESSAGES * bytes)),
      inFlight: IN_FLIGHT,
    })
  }

  queue(key, value) {
    const text = JSON.stringify(value)
    return this.#batches.add({ key, value: text }, text.length)
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
    return this.#producer.disconnect()
  }
}
