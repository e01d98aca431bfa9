// `npm run test:stress [-- RUNS [JEST ARGUMENT...]]`: the jest suite so many times in a row (5), with
// two busy loops beside it; ends at the first failure. A test that fails here and nowhere else
// depends on the machine's speed.

import { spawn } from 'node:child_process'
import { runMain, StepFailed } from './command.mjs'
import { fetchKafka, runJest } from './jest.mjs'
import { setUp } from './setup.mjs'
import { step } from './steps.mjs'
import { checkTools } from './tools.mjs'

const LOOPS = 2
// Ends with the process that started it, whatever ends that.
const LOOP = `const parent = process.ppid
  while (process.ppid === parent) for (let i = 0; i < 1e8; i++);`

const [first = '5', ...jestArgs] = process.argv.slice(2)
const runs = Number(first)

await runMain(async () => {
  if (!Number.isInteger(runs) || runs < 1) throw new StepFailed(`not a number of runs: ${first}`)
  await checkTools({ kafka: true })
  await setUp()
  await fetchKafka()
  const loops = Array.from({ length: LOOPS }, () =>
    spawn(process.execPath, ['-e', LOOP], { stdio: 'ignore' })
  )
  try {
    for (let number = 1; number <= runs; number++) {
      await step(`run ${number} of ${runs}`, () => runJest(jestArgs))
    }
  } finally {
    for (const loop of loops) loop.kill()
  }
})
