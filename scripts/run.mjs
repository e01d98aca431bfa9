// `node scripts/run.mjs [--ship] FILE [ARGUMENT...]`: sets the project up, then runs FILE, a path from
// the project's top folder. `--ship`: with the addon optimised like the one that ships.

import path from 'node:path'
import { root, run, runMain } from './command.mjs'
import { setUp } from './setup.mjs'

await runMain(async () => {
  const words = process.argv.slice(2)
  const ship = words[0] === '--ship'
  const [file, ...args] = ship ? words.slice(1) : words
  await setUp(ship ? { profile: 'ship' } : {})
  // Ctrl+C reaches the script, too, which may have something to finish; this waits for it.
  process.on('SIGINT', () => {})
  await run('node', [path.join(root, file), ...args])
})
