// Many processes have files in one directory, and live: what an idle publisher takes for looking, now and
// then, whether they still do.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makePublisher } from '../contenders/addon.mjs'
import { leave } from './left.mjs'
import { startCpu } from './process.mjs'

const HOLDER = path.join(import.meta.dirname, '..', 'hold-locks.py')
/** The first look is at all of them, the later ones are not. */
const SETTLED = 8000

export async function run({ settings, bytes, files: count, seconds }) {
  const { directory, topic } = settings
  await leave({ directory, topic, bytes, count })
  const holder = spawn('python3', [HOLDER, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [held] = await once(holder.stdout, 'data')
  if (Number(held) !== count) throw new Error(`${held} locks are held, not ${count}`)
  const alone = await idlePercent({ ...settings, directory: `${directory}-empty` }, seconds)
  const among = await idlePercent(settings, seconds)
  holder.stdin.end()
  await once(holder, 'exit')
  return { sent: 0, alone, among, percent: among - alone }
}

/** Of one core. */
async function idlePercent(settings, seconds) {
  const publisher = makePublisher(settings)
  await publisher.init()
  await delay(SETTLED)
  const cpu = startCpu()
  const begin = performance.now()
  await delay(seconds * 1000)
  const percent = cpu() / 10 / (performance.now() - begin)
  const { recoveredCnt } = publisher.getStatistics()
  await publisher.end()
  if (recoveredCnt > 0) throw new Error(`${recoveredCnt} messages were taken from others`)
  return percent
}
