// `npm test`: every check there is, cheapest first, stopping at the first that fails. Arguments go
// to jest: `npm test -- outage -t 'hung broker'`.

import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { nodeModule, root, run, runMain, StepFailed } from './command.mjs'
import { fuzz } from './fuzz.mjs'
import { testLocalPackage } from './package.mjs'
import { testRuntimes } from './runtimes.mjs'
import {
  buildAddon,
  cargoEnv,
  committedTypes,
  generatedTypes,
  installDependencies,
} from './setup.mjs'
import { checkTools } from './tools.mjs'

const JEST_RESULT = path.join(root, 'target', 'jest.json')

async function main() {
  await step('tools', () => checkTools({ tests: true }))
  await step('npm dependencies', installDependencies)
  const env = await cargoEnv()
  const cargo = (...args) => run('cargo', args, { env })
  await step('rustfmt', () => cargo('fmt', '--check'))
  // `biome ci` colours every letter even when no terminal reads them.
  const colors = process.stdout.isTTY ? [] : ['--colors=off']
  const biome = [nodeModule('@biomejs/biome/bin/biome'), 'ci', '--error-on-warnings', ...colors]
  await step('biome', () => run('node', [...biome, '.']))
  // The release profile throughout: what cargo then builds of librdkafka and OpenSSL is shared.
  await step('clippy', () =>
    cargo('clippy', '--locked', '--release', '--all-targets', '--', '-D', 'warnings')
  )
  await step('Rust unit tests', () => cargo('test', '--locked', '--release'))
  await step('fuzzing', fuzz)
  await step('build', buildAddon)
  await step('index.d.ts', checkTypesAreCommitted)
  await step('speed', () => run('node', ['bench/guard.mjs']))
  await step('Kafka for the tests', fetchKafka)
  await step('jest', runJest)
  await step('runtimes', () => testRuntimes({ ends: true }))
  await step('package', testLocalPackage)
  for (const example of await find('examples', /\.[cm]?js$/)) {
    await step(example, () => run('node', [example]))
  }
  if ((await find('__test__/types', /\.ts$/)).length > 0) {
    await step('types', () =>
      run('node', [nodeModule('typescript/bin/tsc'), '-p', '__test__/types'])
    )
  }
}

async function step(name, work) {
  console.log(`\n=== ${name}`)
  const begin = performance.now()
  let outcome = 'FAILED after'
  try {
    await work()
    outcome = 'ok in'
  } finally {
    console.log(`--- ${name}: ${outcome} ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  }
}

async function checkTypesAreCommitted() {
  const [committed, generated] = await Promise.all([
    readFile(committedTypes, 'utf8').catch(() => null),
    readFile(generatedTypes, 'utf8'),
  ])
  if (committed !== generated) {
    throw new StepFailed(
      'index.d.ts is not what the build generates: run `npm run build` and commit index.d.ts'
    )
  }
}

// Here and not in the first test that needs it, whose time limit it would eat up.
async function fetchKafka() {
  const require = createRequire(import.meta.url)
  await require('../__test__/support/kafka-install.js').installKafka()
}

async function runJest() {
  await rm(JEST_RESULT, { force: true })
  const options = ['--json', `--outputFile=${JEST_RESULT}`, ...process.argv.slice(2)]
  await run('node', [nodeModule('jest/bin/jest.js'), ...options])
}

async function find(folder, name) {
  const names = await readdir(path.join(root, folder)).catch(() => [])
  return names
    .filter((file) => name.test(file))
    .sort()
    .map((file) => `${folder}/${file}`)
}

async function printCount() {
  if (!existsSync(JEST_RESULT)) return
  const result = JSON.parse(await readFile(JEST_RESULT, 'utf8'))
  console.log(`\n${result.numPassedTests} passed, ${result.numFailedTests} failed`)
}

await rm(JEST_RESULT, { force: true })
await runMain(main)
await printCount()
