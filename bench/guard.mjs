// `node bench/guard.mjs`, for CI: fails when the addon has become about twice as slow as it was.
//
// It compares ratios within this run, never times, so that a slow or busy machine does not matter much:
// what the addon does against JSON.stringify of the same values, in turns, and the best of several
// tries of each. It needs no Kafka; the embedded cluster is in this process and shares its cores.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { KafkaPublisher } from 'kafka-publisher'
import { MockCluster } from 'kafka-publisher/testing'
import { runMain, StepFailed } from '../scripts/command.mjs'
import { makeMessages } from './messages.mjs'
import { ascending, quantile } from './tasks/process.mjs'
import { publish } from './tasks/publish.mjs'

// Twice what was measured when the limits were set, on two cores.
const LIMITS = {
  queue: { most: 3, what: 'one queue() to JSON.stringify of its value' },
  delivery: { most: 3.5, what: 'a message delivered to JSON.stringify of its value' },
}

const BURST = 200
const BURSTS = 150
const DELIVERED = 100_000
const TRIES = 5
const TOPIC = 'guard'

await runMain(async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'kafka-publisher-guard-'))
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic(TOPIC, { partitions: 3 })
  const publisher = new KafkaPublisher({
    connectionString: cluster.connectionString,
    defaultTopic: TOPIC,
    batch: { size: 1_000_000, maxWait: 5 },
    fallback: { directory },
  })
  try {
    await publisher.init()
    const messages = makeMessages(170)
    const ratios = {
      queue: await measureQueue(publisher, messages),
      delivery: await measureDelivery(publisher, messages),
    }
    check(publisher.getStatistics(), ratios)
  } finally {
    await publisher.end()
    cluster.close()
    await rm(directory, { recursive: true, force: true })
  }
})

/** Short bursts with the publisher otherwise idle; the median burst of each kind. */
async function measureQueue(publisher, messages) {
  const queue = []
  const stringify = []
  for (let burst = 0; burst < BURSTS; burst++) {
    const from = (burst * BURST) % messages.length
    const slice = messages.slice(from, from + BURST)
    queue.push(
      time(() => {
        for (const { key, value } of slice) publisher.queue(key, value)
      })
    )
    await settled(publisher)
    stringify.push(
      time(() => {
        for (const { value } of slice) JSON.stringify(value)
      })
    )
  }
  const [queueMs, stringifyMs] = [queue, stringify].map((times) =>
    quantile(times.sort(ascending), 0.5)
  )
  return queueMs / stringifyMs
}

/** From the first queue() to the last acknowledgement, at full speed; the best of some tries. */
async function measureDelivery(publisher, messages) {
  const client = {
    queue: (key, value) => publisher.queue(key, value),
    ready: () => publisher.drained(),
  }
  let delivery = Infinity
  let stringify = Infinity
  for (let again = 0; again < TRIES; again++) {
    const begin = performance.now()
    await publish(client, messages, DELIVERED)
    await settled(publisher)
    delivery = Math.min(delivery, performance.now() - begin)
    const alone = time(() => {
      for (let at = 0; at < DELIVERED; at++) JSON.stringify(messages[at % messages.length].value)
    })
    stringify = Math.min(stringify, alone)
  }
  return delivery / stringify
}

async function settled(publisher) {
  while (publisher.queued() > 0) await delay(1)
}

function check({ sentCnt, queueCnt }, ratios) {
  if (sentCnt !== queueCnt) {
    throw new StepFailed(
      `of ${queueCnt} messages only ${sentCnt} were delivered: nothing is measured`
    )
  }
  const lost = []
  for (const [name, { most, what }] of Object.entries(LIMITS)) {
    const text = `${what}: ${ratios[name].toFixed(2)} times, at most ${most} are allowed`
    console.log(text)
    if (ratios[name] > most) lost.push(text)
  }
  if (lost.length > 0) throw new StepFailed(`The addon has become slower:\n${lost.join('\n')}`)
}

function time(work) {
  const begin = performance.now()
  work()
  return performance.now() - begin
}
