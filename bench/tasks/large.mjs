// More in files than fits into memory: how soon the first message is published, what memory that takes, and
// how long end() takes in the midst of it. A publisher that has no Kafka is there all the time.

import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { idleUsage, leave, Peak } from './left.mjs'
import { replayed } from './replay.mjs'

/** Until the end, after the first message; the last is the longest. */
const TIMES = [0, 200, 1000, 10_000]
/** In which the one without Kafka finds out that it has none. */
const FUTILE = 3000

export async function run({ settings, deadBootstrap, bytes, files: count, size }) {
  const { directory, topic } = settings
  await leave({ directory, topic, bytes, count, size })
  const idle = await idleUsage({ ...settings, directory: `${directory}-idle` })
  const before = await namesIn(directory)
  const futile = makePublisher({ ...settings, bootstrap: deadBootstrap, logger: { logLevel: 1 } })
  futile.init().catch(() => {})
  await delay(FUTILE)
  if ((await namesIn(directory)) !== before) throw new Error('files were taken without a Kafka')

  const peak = new Peak()
  const found = { sent: 0, firstMs: 0, endMs: 0 }
  for (const time of TIMES) {
    const begin = performance.now()
    const publisher = makePublisher(settings)
    const connected = publisher.init()
    while (replayed(publisher.getStatistics()) === 0) await delay(2)
    found.firstMs = Math.max(found.firstMs, performance.now() - begin)
    for (const until = performance.now() + time; performance.now() < until; ) {
      await peak.see()
      await delay(Math.min(50, time))
    }
    const end = performance.now()
    await publisher.end()
    found.endMs = Math.max(found.endMs, performance.now() - end)
    await connected
    found.sent += replayed(publisher.getStatistics())
  }
  const end = performance.now()
  await futile.end()
  const futileEndMs = performance.now() - end
  return {
    ...found,
    futileEndMs,
    moreRss: peak.rss - idle.rss,
    moreDescriptors: peak.descriptors - idle.descriptors,
  }
}

const namesIn = async (directory) => (await readdir(directory)).sort().join()
