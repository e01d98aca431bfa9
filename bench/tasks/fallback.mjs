// How many messages a second go to file while there is no Kafka, and what the file then holds.

import { makeMessages } from '../messages.mjs'
import { readLines } from './lines.mjs'
import { memory, startCpu } from './process.mjs'
import { publish } from './publish.mjs'

export async function run({ openInOutage, settings, bytes, messages: count }) {
  const messages = makeMessages(bytes)
  const client = await openInOutage(settings)
  const cpu = startCpu()
  const begin = performance.now()
  await publish(client, messages, count)
  await client.flushed()
  const seconds = (performance.now() - begin) / 1000
  const cpuUs = cpu() / count
  const { peak } = memory()
  await client.close()
  const found = await readLines(settings.directory, messages)
  if (found.lines !== count) throw new Error(`${found.lines} lines in files, not ${count}`)
  return { seconds, perSecond: count / seconds, cpuUs, peakRss: peak, ...found }
}
