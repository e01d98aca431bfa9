// jest: which test files there are, what they need, and running them.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import { nodeModule, root, run } from './command.mjs'

const RESULT = path.join(root, 'target', 'jest.json')
const JEST = nodeModule('jest/bin/jest.js')

/** The paths of the test files that jest would run with these arguments. */
export async function testFiles(args = []) {
  const { stdout } = await promisify(execFile)('node', [JEST, '--listTests', ...args], {
    cwd: root,
  })
  return stdout.split('\n').filter(Boolean)
}

/** Whether a test file needs a real Kafka, and with it Java. */
export async function needsKafka(file) {
  return /require\('\.\/support\/(kafka|shared-kafka)'\)|'cluster\.mjs'/.test(
    await readFile(file, 'utf8')
  )
}

/** Whether a test file is left to `npm test`, since it takes long: one that says so. */
export async function takesLong(file) {
  return /^\/\/ Takes long\./m.test(await readFile(file, 'utf8'))
}

/** Here and not in the first test that needs it, whose time limit it would eat up. */
export async function fetchKafka() {
  const require = createRequire(import.meta.url)
  await require('../__test__/support/kafka-install.js').installKafka()
}

/** Runs jest; prints at the end how many tests have passed. */
export async function runJest(args = []) {
  await rm(RESULT, { force: true })
  try {
    await run('node', [JEST, '--json', `--outputFile=${RESULT}`, ...args])
  } finally {
    if (existsSync(RESULT)) {
      const result = JSON.parse(await readFile(RESULT, 'utf8'))
      console.log(`${result.numPassedTests} passed, ${result.numFailedTests} failed`)
    }
  }
}
