// `npm run test:soak`: the tests that look for leaks, for long: a million messages, 10,000 publishers,
// 3,200 worker threads; ten minutes of misuse at random, and ten of fuzzing; the model of the fallback
// files, at random.

import { nodeModule, run, runMain } from './command.mjs'
import { fuzz } from './fuzz.mjs'
import { cargoEnv, setUp } from './setup.mjs'

const FUZZING = 600

await runMain(async () => {
  await setUp()
  const env = { KAFKA_PUBLISHER_SOAK: '1' }
  await run('node', [nodeModule('jest/bin/jest.js'), 'contexts', 'hostile'], { env })
  await fuzz(FUZZING)
  const random = { ...(await cargoEnv()), PROPTEST_CASES: '5000' }
  await run('cargo', ['test', '--locked', '--release', 'model'], { env: random })
})
