// How long after Kafka's port is open again a publisher publishes. The port is a proxy's, behind which
// Kafka runs on: that it is open means that Kafka answers.

import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { withProxiedKafka } from '../proxied.mjs'
import { startPace } from './pace.mjs'
import { ascending, quantile } from './process.mjs'

export async function run({ settings, outages, times, perSecond }) {
  return await withProxiedKafka({}, async (kafka, proxy) => {
    await kafka.createTopic('back', { partitions: 3 })
    const publisher = makePublisher({ ...settings, bootstrap: proxy.address, topic: 'back' })
    await publisher.init()
    const pace = startPace(perSecond, (number) => publisher.queue(`key ${number % 50}`, { number }))
    const result = {}
    for (const seconds of outages) {
      const took = []
      for (let time = 0; time < times; time++) took.push(await outage(publisher, proxy, seconds))
      took.sort(ascending)
      result[`median${seconds}`] = quantile(took, 0.5)
      result[`worst${seconds}`] = took.at(-1)
    }
    pace.stop()
    await publisher.end()
    return result
  })
}

async function outage(publisher, proxy, seconds) {
  await proxy.refuse()
  await delay(seconds * 1000)
  if (publisher.getStatistics().state !== 'fallingBack') throw new Error('no outage was noticed')
  await proxy.accept()
  const begin = performance.now()
  while (publisher.getStatistics().state !== 'publishing') await delay(2)
  const took = performance.now() - begin
  // The next outage begins when all is as before this one.
  while (publisher.getStatistics().fallback.messages > 0) await delay(20)
  return took
}
