// By how much the process grows while messages are queued and there is no Kafka.

import { makeMessages } from '../messages.mjs'
import { memory } from './process.mjs'
import { publish } from './publish.mjs'

export async function run({ openInOutage, settings, bytes, messages: count }) {
  const messages = makeMessages(bytes)
  const client = await openInOutage(settings)
  const idle = memory().rss
  const begin = performance.now()
  await publish(client, messages, count)
  await client.flushed()
  const seconds = (performance.now() - begin) / 1000
  const { peak, rss } = memory()
  await client.close()
  return { queued: count, perSecond: count / seconds, idle, growth: peak - idle, after: rss - idle }
}
