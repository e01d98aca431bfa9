// A steady load on a Kafka that is far away: acknowledgements, and what went another way.

import { setTimeout as delay } from 'node:timers/promises'
import { makeMessages } from '../messages.mjs'
import { withProxiedKafka } from '../proxied.mjs'
import { measureLatency } from './latency.mjs'

export async function run({ client: open, settings, bytes, perSecond, seconds, ...job }) {
  const { roundTrip, partitions } = job
  const messages = makeMessages(bytes)
  return await withProxiedKafka({ delay: roundTrip / 2 }, async (kafka, proxy) => {
    await kafka.createTopic('rtt', { partitions })
    const client = await open({ ...settings, bootstrap: proxy.address, topic: 'rtt' })
    // The n-th acknowledgement need not be the n-th message's here; over all of them it comes to the same.
    const measured = await measureLatency({
      perSecond,
      messages,
      queue: (key, value) => client.queue(key, value),
      acked: () => client.acked(),
      until: delay(seconds * 1000),
    })
    const filed = client.filed?.() ?? 0
    await client.close()
    return { ...measured, filedPercent: (100 * filed) / measured.sent }
  })
}
