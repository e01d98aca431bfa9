// `node scripts/run.mjs NAME [ARGUMENT...]`: sets the project up, then runs scripts/NAME.mjs.

import path from 'node:path'
import { root, run, runMain } from './command.mjs'
import { setUp } from './setup.mjs'

await runMain(async () => {
  const [name, ...args] = process.argv.slice(2)
  await setUp()
  // Ctrl+C reaches the script, too, which may have something to finish; this waits for it.
  process.on('SIGINT', () => {})
  await run('node', [path.join(root, 'scripts', `${name}.mjs`), ...args])
})
