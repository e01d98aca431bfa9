// `npm run check`: what a change is checked with before it is committed, without what takes long or
// needs more than the embedded cluster: no real Kafka, no other runtimes, no packages, no fuzzing.

import { runMain } from './command.mjs'
import { needsKafka, runJest, testFiles } from './jest.mjs'
import { cargo, checkFormat, checkRust, checkTypes } from './lint.mjs'
import { buildAddon, installDependencies } from './setup.mjs'
import { step } from './steps.mjs'
import { checkTools } from './tools.mjs'

await runMain(async () => {
  await checkTools({ lint: true })
  await installDependencies()
  await checkFormat()
  await checkRust()
  await step('build', buildAddon)
  await checkTypes()
  await step('Rust unit tests', () => cargo('test', '--locked', '--release'))
  await step('jest, without a real Kafka', async () => {
    const files = await testFiles()
    const without = []
    for (const file of files) if (!(await needsKafka(file))) without.push(file)
    await runJest(['--runTestsByPath', ...without])
  })
})
