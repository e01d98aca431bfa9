// From queue() to the acknowledgement, as the JS thread sees it, at a steady rate.
//
// Not every client tells of each message, but each knows how many are acknowledged. The topic has one
// partition, in which acknowledgements come in order: when there are n, the n-th message has its own.
// All clients are asked once a millisecond, so that none is seen more closely than another.

import { setTimeout as delay } from 'node:timers/promises'
import { makeMessages } from '../messages.mjs'
import { startPace } from './pace.mjs'
import { ascending, quantile, startCpu } from './process.mjs'

const WARM_UP_MS = 2000

export async function run({ client: open, settings, bytes, perSecond, seconds }) {
  const messages = makeMessages(bytes)
  const client = await open(settings)
  const cpu = startCpu()
  const measured = await measureLatency({
    perSecond,
    messages,
    queue: (key, value) => client.queue(key, value),
    acked: () => client.acked(),
    until: delay(WARM_UP_MS + seconds * 1000),
  })
  const cpuUs = cpu() / measured.sent
  await client.flushed()
  const extra = client.extra?.()
  await client.close()
  return { ...measured, cpuUs, extra }
}

/** Until the promise `until` settles; what was queued in the first two seconds does not count. */
export async function measureLatency({ perSecond, messages, queue, acked, until }) {
  const queuedAt = []
  const latencies = []
  let seen = 0
  const begin = performance.now()
  const look = () => {
    const now = performance.now()
    for (const count = acked(); seen < count; seen++) {
      if (queuedAt[seen] - begin >= WARM_UP_MS) latencies.push(now - queuedAt[seen])
    }
  }
  const pace = startPace(
    perSecond,
    (number) => {
      const { key, value } = messages[number % messages.length]
      queuedAt.push(performance.now())
      queue(key, value)
    },
    look
  )
  await until
  pace.stop()
  while (seen < pace.count()) {
    await delay(1)
    look()
  }
  if (latencies.length === 0) throw new Error('it was over before anything was measured')
  latencies.sort(ascending)
  return {
    sent: pace.count(),
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    max: latencies.at(-1),
  }
}
