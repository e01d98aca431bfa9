// `node scripts/run.mjs FILE [ARGUMENT...]`: sets the project up, then runs FILE, a path from the
// project's top folder.

import path from 'node:path'
import { root, run, runMain } from './command.mjs'
import { setUp } from './setup.mjs'

await runMain(async () => {
  const [file, ...args] = process.argv.slice(2)
  await setUp()
  // Ctrl+C reaches the script, too, which may have something to finish; this waits for it.
  process.on('SIGINT', () => {})
  await run('node', [path.join(root, file), ...args])
})
