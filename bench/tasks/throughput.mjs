// How many messages a second arrive, and what each of them costs.

import { performance } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { makeMessages } from '../messages.mjs'
import { memory, startCpu } from './process.mjs'
import { publish } from './publish.mjs'

export async function run({ client: open, settings, bytes, messages: count, warmUp }) {
  const messages = makeMessages(bytes)
  const client = await open(settings)
  await publish(client, messages, warmUp)
  await client.flushed()

  await turn()
  const cpu = startCpu()
  const loop = performance.eventLoopUtilization()
  const begin = performance.now()
  const queueMs = await publish(client, messages, count)
  await client.flushed()
  const seconds = (performance.now() - begin) / 1000
  const cpuUs = cpu() / count
  // A turn of the loop is counted when it is over.
  await turn()
  const { active } = performance.eventLoopUtilization(loop)
  const result = {
    sent: warmUp + count,
    seconds,
    perSecond: count / seconds,
    cpuUs,
    loopUs: (active * 1000) / count,
    queueNs: (queueMs * 1e6) / count,
    peakRss: memory().peak,
  }
  await client.close()
  return result
}
