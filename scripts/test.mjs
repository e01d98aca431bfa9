// `npm test`: every check there is, cheapest first, stopping at the first that fails. With arguments,
// which go to jest, it runs those test files only, and does only what they need:
// `npm test -- outage -t 'hung broker'`.

import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { root, run, runMain } from './command.mjs'
import { fetchKafka, needsKafka, runJest, testFiles } from './jest.mjs'
import { checkFormat, checkRust, checkTypes, unitTestEnv } from './lint.mjs'
import { buildAddon, installDependencies } from './setup.mjs'
import { sideBySide, step } from './steps.mjs'
import { checkTools } from './tools.mjs'

async function testAll() {
  await step('tools', () => checkTools({ lint: true, kafka: true }))
  await step('npm dependencies', installDependencies)
  await checkFormat()
  await checkRust()
  await step('build', buildAddon)
  await checkTypes()
  const env = await unitTestEnv()
  await step('Rust unit tests', () => run('cargo', ['test', '--locked', '--release'], { env }))
  await step('speed', () => run('node', ['bench/guard.mjs']))
  await step('Kafka for the tests', fetchKafka)
  // Most of jest's time is waiting.
  await sideBySide('jest', runJest, [
    { name: 'fuzzing', command: 'node', args: ['scripts/fuzz.mjs'] },
    { name: 'runtimes', command: 'node', args: ['scripts/runtimes.mjs', '--ends'] },
    { name: 'package', command: 'node', args: ['scripts/package.mjs', '--local'] },
    ...(await examples()),
  ])
}

async function testSome(args) {
  await checkTools()
  await installDependencies()
  const files = await testFiles(args)
  if ((await Promise.all(files.map(needsKafka))).includes(true)) {
    await checkTools({ kafka: true })
    await fetchKafka()
  }
  await buildAddon()
  await runJest(args)
}

async function examples() {
  const names = await readdir(path.join(root, 'examples'))
  const files = names.filter((name) => /\.[cm]?js$/.test(name)).sort()
  return files.map((file) => ({
    name: `examples/${file}`,
    command: 'node',
    args: [`examples/${file}`],
  }))
}

const args = process.argv.slice(2)
await runMain(() => (args.length > 0 ? testSome(args) : testAll()))
