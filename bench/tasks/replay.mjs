// How many messages a second are published out of fallback files, beside live ones with the same
// options. Only this addon replays.

import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher, open, openInOutage } from '../contenders/addon.mjs'
import { makeMessages } from '../messages.mjs'
import { startCpu } from './process.mjs'
import { publish } from './publish.mjs'

export async function run({ settings, deadBootstrap, bytes, messages: count, warmUp }) {
  await checkReplays(settings)
  const messages = makeMessages(bytes)
  await fill(settings, deadBootstrap, messages, count)

  const cpu = startCpu()
  const start = performance.now()
  const publisher = makePublisher(settings)
  const connected = publisher.init()
  // The live rate, too, is that of a client which has connected and warmed up.
  await untilReplayed(publisher, warmUp)
  const begin = performance.now()
  const before = replayed(publisher.getStatistics())
  await untilReplayed(publisher, count)
  const end = performance.now()
  const perSecond = (count - before) / ((end - begin) / 1000)
  const secondsFromStart = (end - start) / 1000
  const cpuUs = cpu() / count
  await connected
  await publisher.end()

  // With a directory of its own: these numbers are of live messages alone.
  const alone = { ...settings, directory: `${settings.directory}-live` }
  const live = await publishLive(alone, messages, count, warmUp)
  return {
    sent: count + live.sent,
    secondsFromStart,
    perSecond,
    cpuUs,
    livePerSecond: live.perSecond,
    ratio: perSecond / live.perSecond,
  }
}

/** Fails before anything is written, if this addon does not replay. */
export async function checkReplays(settings) {
  const publisher = makePublisher(settings)
  try {
    replayed(publisher.getStatistics())
  } finally {
    await publisher.end()
  }
}

/** Leaves `count` messages in files, as a process does that ends during an outage. */
export async function fill(settings, deadBootstrap, messages, count) {
  await rm(settings.directory, { recursive: true, force: true })
  const client = await openInOutage({ ...settings, bootstrap: deadBootstrap })
  await publish(client, messages, count)
  await client.flushed()
  await client.close()
}

/** Resolves when all messages of the files are published again. No event tells. */
export async function untilReplayed(publisher, count) {
  while (replayed(publisher.getStatistics()) < count) await delay(5)
}

export function replayed({ replay }) {
  if (typeof replay?.replayedCnt === 'number') return replay.replayedCnt
  throw new Error(
    'this addon does not replay fallback files: its statistics have no replay.replayedCnt'
  )
}

async function publishLive(settings, messages, count, warmUp) {
  const client = await open(settings)
  await publish(client, messages, warmUp)
  await client.flushed()
  const begin = performance.now()
  await publish(client, messages, count)
  await client.flushed()
  const seconds = (performance.now() - begin) / 1000
  await client.close()
  return { sent: warmUp + count, perSecond: count / seconds }
}
