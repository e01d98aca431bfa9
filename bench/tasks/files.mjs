// A crash loop in an outage leaves one small file for each process that died: how long until all of them
// are published, and what that takes.

import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { idleUsage, leave, Peak } from './left.mjs'
import { startCpu } from './process.mjs'
import { replayed } from './replay.mjs'

export async function run({ settings, bytes, messages: count, elsewhere }) {
  const { directory, topic } = settings
  await leave({ directory, topic, bytes, count, elsewhere })
  const idle = await idleUsage({ ...settings, directory: `${directory}-idle` })

  const cpu = startCpu()
  const begin = performance.now()
  const publisher = makePublisher(settings)
  const connected = publisher.init()
  const peak = new Peak()
  while (replayed(publisher.getStatistics()) < count) {
    await peak.see()
    await delay(50)
  }
  const seconds = (performance.now() - begin) / 1000
  await connected
  // Where the writer may live, a file that is done stays for a moment.
  while (publisher.getStatistics().replay.files > 0) await delay(50)
  await publisher.end()
  const cpuSeconds = cpu() / 1e6
  const left = await readdir(directory)
  if (left.length > 0) throw new Error(`${left.length} files are left`)
  return {
    sent: count,
    seconds,
    cpuSeconds,
    cpuUs: (cpuSeconds / count) * 1e6,
    perSecond: count / seconds,
    moreRss: peak.rss - idle.rss,
    moreDescriptors: peak.descriptors - idle.descriptors,
  }
}
