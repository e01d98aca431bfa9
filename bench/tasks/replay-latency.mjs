// What a replay does to the acknowledgements of live messages: the same load, on a topic of its own,
// without and with files being replayed meanwhile.

import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { makeMessages } from '../messages.mjs'
import { measureLatency } from './latency.mjs'
import { checkReplays, fill, replayed, untilReplayed } from './replay.mjs'

export async function run({ settings, liveTopic, deadBootstrap, bytes, ...job }) {
  const { messages: count, perSecond, seconds } = job
  await checkReplays(settings)
  const messages = makeMessages(bytes)
  await fill(settings, deadBootstrap, messages, count)
  const load = { perSecond, messages, liveTopic, seconds }
  const without = await publishLive({ ...settings, fallback: { replay: false } }, load)
  const beside = await publishLive(settings, { ...load, inFiles: count })
  return {
    sent: count,
    liveSent: without.sent + beside.sent,
    p50: beside.p50,
    p99: beside.p99,
    p99Without: without.p99,
    ratio: beside.p99 / without.p99,
    replayedMeanwhile: beside.replayedMeanwhile,
  }
}

/** Live messages for `seconds`; or, with messages in files, for no longer than their replay takes. */
async function publishLive(settings, { perSecond, messages, liveTopic, seconds, inFiles = 0 }) {
  const publisher = makePublisher(settings)
  const time = delay(seconds * 1000)
  const until = inFiles ? Promise.race([time, untilReplayed(publisher, inFiles)]) : time
  const measured = await measureLatency({
    perSecond,
    messages,
    queue: (key, value) => publisher.queue(key, value, liveTopic),
    acked: () => liveAcked(publisher.getStatistics()),
    until,
  })
  const replayedMeanwhile = replayed(publisher.getStatistics())
  if (inFiles) await untilReplayed(publisher, inFiles)
  const { sentCnt } = publisher.getStatistics()
  if (sentCnt !== measured.sent + inFiles) {
    throw new Error(`sentCnt is ${sentCnt}, not ${measured.sent} live and ${inFiles} replayed`)
  }
  await publisher.end()
  return { ...measured, replayedMeanwhile }
}

// A replayed message that Kafka has acknowledged is in both counts.
const liveAcked = (statistics) => statistics.sentCnt - replayed(statistics)
