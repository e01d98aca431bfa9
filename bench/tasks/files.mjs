// A crash loop in an outage leaves one small file for each process that died: how long until all of them
// are published, and what that takes.

import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { makeMessages } from '../messages.mjs'
import { startCpu } from './process.mjs'
import { replayed } from './replay.mjs'

const BOOT = '/proc/sys/kernel/random/boot_id'

export async function run({ settings, bytes, messages: count }) {
  const messages = makeMessages(bytes)
  await leave(settings.directory, settings.topic, messages, count)
  const publisher = makePublisher({ ...settings, directory: `${settings.directory}-idle` })
  await publisher.init()
  const idle = { rss: process.memoryUsage().rss, descriptors: await descriptors() }
  await publisher.end()

  const cpu = startCpu()
  const begin = performance.now()
  const replaying = makePublisher(settings)
  const peak = { rss: 0, descriptors: 0 }
  replaying.init().catch(() => {})
  while (replayed(replaying.getStatistics()) < count) {
    peak.rss = Math.max(peak.rss, process.memoryUsage().rss)
    peak.descriptors = Math.max(peak.descriptors, await descriptors())
    await delay(50)
  }
  const seconds = (performance.now() - begin) / 1000
  const cpuSeconds = cpu() / 1e6
  await replaying.end()
  const left = await readdir(settings.directory)
  if (left.length > 0) throw new Error(`${left.length} files are left`)
  return {
    sent: count,
    seconds,
    cpuSeconds,
    perSecond: count / seconds,
    moreRss: peak.rss - idle.rss,
    moreDescriptors: peak.descriptors - idle.descriptors,
  }
}

const descriptors = async () => (await readdir('/proc/self/fd')).length

/** One file of one message for each of `count` instances that are dead. */
async function leave(directory, topic, messages, count) {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const boot = (await readFile(BOOT, 'utf8')).trim()
  const lock = `${JSON.stringify({ host: hostname(), boot, pid: 1, beat: 1 })}\n`
  for (let begin = 0; begin < count; begin += 500) {
    const writes = []
    for (let i = begin; i < Math.min(begin + 500, count); i++) {
      const { key, value } = messages[i % messages.length]
      const line = JSON.stringify({ topic, key, value, timestamp: Date.now() })
      const name = path.join(directory, `fallback-${randomUUID()}`)
      writes.push(writeFile(`${name}-000001.log`, `${line}\n`), writeFile(`${name}.lock`, lock))
    }
    await Promise.all(writes)
  }
}
