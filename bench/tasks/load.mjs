// How long it takes to load the package. Nothing else has been loaded in this process.

import { memory } from './process.mjs'

export async function run({ settings, load }) {
  const before = memory().rss
  const begin = performance.now()
  await load(settings)
  const loadMs = performance.now() - begin
  return { loadMs, loadRss: memory().rss - before }
}
