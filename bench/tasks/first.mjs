// From the start of loading the package to the first acknowledgement. Nothing of it has been loaded in
// this process.

import { makeMessages } from '../messages.mjs'

export async function run({ load, openAtOnce, settings, bytes }) {
  const [{ key, value }] = makeMessages(bytes)
  const begin = performance.now()
  await load(settings)
  const loadMs = performance.now() - begin
  const client = await openAtOnce(settings)
  client.queue(key, value)
  await client.flushed()
  const firstMs = performance.now() - begin
  await client.close()
  return { sent: 1, loadMs, firstMs }
}
