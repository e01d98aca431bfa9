// Many topics: what share of the messages goes through files though Kafka is well.

import { setTimeout as delay } from 'node:timers/promises'
import { withAdmin } from '../../__test__/support/client.js'
import { makePublisher } from '../contenders/addon.mjs'
import { withProxiedKafka } from '../proxied.mjs'
import { startPace } from './pace.mjs'

const AT_ONCE = 500

export async function run({
  settings,
  topics,
  roundTrip,
  perSecond,
  messages: count,
  partitioned,
}) {
  return await withProxiedKafka({ delay: roundTrip / 2 }, async (kafka, proxy) => {
    const names = Array.from({ length: topics }, (_, at) => `topic-${at}`)
    await createTopics(kafka.bootstrap, names)
    const partitioner = {
      partition: (_topic, partitions, { key }) => key.length % partitions.length,
    }
    const publisher = makePublisher({
      ...settings,
      bootstrap: proxy.address,
      ...(partitioned && { partitioner }),
    })
    await publisher.init()
    const begin = performance.now()
    await new Promise((resolve) => {
      const pace = startPace(perSecond, (number) => {
        if (number >= count) return
        publisher.queue(`key ${number}`, { number }, names[number % topics])
        if (number === count - 1) resolve(pace)
      })
    }).then((pace) => pace.stop())
    while (publisher.queued() > 0) await delay(5)
    const seconds = (performance.now() - begin) / 1000
    const filed = publisher.getStatistics().filePublisher.mesgCnt
    await publisher.end()
    return { messages: count, topics, filed, filedPercent: (100 * filed) / count, seconds }
  })
}

async function createTopics(bootstrap, names) {
  await withAdmin(
    bootstrap,
    async (admin) => {
      for (let at = 0; at < names.length; at += AT_ONCE) {
        const topics = names.slice(at, at + AT_ONCE).map((topic) => ({ topic, numPartitions: 1 }))
        await admin.createTopics({ topics, waitForLeaders: false, timeout: 60_000 })
      }
    },
    { requestTimeout: 120_000 }
  )
}
