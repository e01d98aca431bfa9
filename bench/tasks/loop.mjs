// How late timers are while a client publishes at a steady rate.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { makeMessages } from '../messages.mjs'
import { startPace } from './pace.mjs'
import { memory, startCpu } from './process.mjs'

const WARM_UP_MS = 2000

export async function run({ client: open, settings, bytes, perSecond, seconds }) {
  const messages = makeMessages(bytes)
  const client = await open(settings)
  const pace = startPace(perSecond, (number) => {
    const { key, value } = messages[number % messages.length]
    client.queue(key, value)
  })
  await delay(WARM_UP_MS)
  const lateness = monitorEventLoopDelay({ resolution: 1 })
  const cpu = startCpu()
  const before = pace.count()
  lateness.enable()
  await delay(seconds * 1000)
  lateness.disable()
  const cpuUs = cpu() / (pace.count() - before)
  pace.stop()
  await client.flushed()
  await client.close()
  const [p50, p99] = [50, 99].map((share) => lateness.percentile(share) / 1e6)
  return {
    sent: pace.count(),
    perSecond: (pace.count() - before) / seconds,
    loopP50: p50,
    loopP99: p99,
    loopMax: lateness.max / 1e6,
    cpuUs,
    peakRss: memory().peak,
  }
}
