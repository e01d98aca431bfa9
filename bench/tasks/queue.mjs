// What one queue() costs while the client has nothing else to do: short bursts, each after the one
// before has been acknowledged, beside bursts of JSON.stringify of the same values.

import { setTimeout as delay } from 'node:timers/promises'
import { makeMessages } from '../messages.mjs'
import { ascending, quantile } from './process.mjs'

const BURST = 200
const WARM_UP = 100
/** Both kinds of burst begin after a pause: processor caches and clock are then alike. */
const PAUSE = 5

export async function run({ client: open, settings, bytes, bursts }) {
  const messages = makeMessages(bytes)
  const client = await open(settings)
  const queue = []
  const stringify = []
  let length = 0
  for (let burst = 0; burst < WARM_UP + bursts; burst++) {
    const slice = Array.from(
      { length: BURST },
      (_, at) => messages[(burst * BURST + at) % messages.length]
    )
    await delay(PAUSE)
    let begin = performance.now()
    for (const { key, value } of slice) client.queue(key, value)
    queue.push(((performance.now() - begin) * 1e6) / BURST)
    await client.flushed()
    await delay(PAUSE)
    begin = performance.now()
    for (const { value } of slice) length += JSON.stringify(value).length
    stringify.push(((performance.now() - begin) * 1e6) / BURST)
  }
  await client.close()
  const [queueNs, stringifyNs] = [queue, stringify].map((times) =>
    quantile(times.slice(WARM_UP).sort(ascending), 0.5)
  )
  return {
    sent: (WARM_UP + bursts) * BURST,
    queueNs,
    stringifyNs,
    ratio: queueNs / stringifyNs,
    length,
  }
}
