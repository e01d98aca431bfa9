// `npm run check`: what a change is checked with before it is committed, without what takes long or
// needs more than the embedded cluster: no real Kafka, no other runtimes, no packages, no fuzzing.

import { runMain } from './command.mjs'
import { needsKafka, runJest, takesLong, testFiles } from './jest.mjs'
import { checkFormat, checkRust, checkTypes, unitTestEnv } from './lint.mjs'
import { buildAddon, installDependencies } from './setup.mjs'
import { sideBySide, step } from './steps.mjs'
import { checkTools } from './tools.mjs'

// One more at a time than with JVMs beside them.
const JEST = ['--maxWorkers=4', '--runTestsByPath']

await runMain(async () => {
  await checkTools({ lint: true })
  await installDependencies()
  await checkFormat()
  await checkRust()
  await step('build', buildAddon)
  await checkTypes()
  const files = await testFiles()
  const left = await Promise.all(
    files.map(async (file) => (await needsKafka(file)) || takesLong(file))
  )
  const quick = files.filter((_file, i) => !left[i])
  await sideBySide('jest', () => runJest([...JEST, ...quick]), [
    {
      name: 'Rust unit tests',
      command: 'cargo',
      args: ['test', '--locked', '--release'],
      env: await unitTestEnv(),
    },
  ])
})
