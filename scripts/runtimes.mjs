// `npm run test:runtimes`: the conformance script on every runtime that the package is for, and the
// refusal on those that it is not for. Prints the matrix. `--ends`: see below.

import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root, runMain, StepFailed } from './command.mjs'
import { setUp } from './setup.mjs'

const require = createRequire(import.meta.url)
const support = require('../__test__/support/runtimes.js')

const SCRIPT = path.join(root, '__test__', 'conformance', 'main.cjs')
const REFUSAL = /it needs Node-API 4, .* this is v/

/** `ends`: only the oldest and the newest Node.js, Bun and Deno. */
export async function testRuntimes({ ends = false } = {}) {
  const tests = ends
    ? support.ENDS_OF_THE_RANGE.map((runtime) => [runtime, conform])
    : [
        ...support.RUNTIMES.map((runtime) => [runtime, conform]),
        ...support.UNSUPPORTED.map((runtime) => [runtime, refuse]),
      ]
  const rows = await twoAtATime(tests, ([runtime, judge]) => test(runtime, judge))

  const width = Math.max(...rows.map(({ label }) => label.length))
  for (const { label, result } of rows) console.log(`${label.padEnd(width)}  ${result}`)
  const failed = rows.filter(({ output }) => output)
  for (const { label, output } of failed) console.error(`\n${label}:\n${output}`)
  if (failed.length > 0) throw new StepFailed(`${failed.length} runtimes failed`)
}

// They wait for outages most of the time.
async function twoAtATime(items, work) {
  const results = []
  const waiting = [...items.entries()]
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      results[next[0]] = await work(next[1])
    }
  }
  await Promise.all([lane(), lane()])
  return results
}

async function test(runtime, judge) {
  const { command, flags } = await support.installRuntime(runtime)
  const begin = performance.now()
  const { result, passed, output } = await judge(command, flags)
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  return {
    label:
      runtime.label === 'Bun' || runtime.label === 'Deno'
        ? `${runtime.label} ${runtime.version}`
        : runtime.label,
    result: `${passed ? 'ok    ' : 'FAILED'} ${result}, ${seconds} s`,
    output: passed ? null : output,
  }
}

/** Runs the conformance script. */
export async function conform(command, flags, env) {
  // Named by path: none of what the script says depends on this process's own environment.
  const { code, output } = await start(command, [...flags, SCRIPT], env)
  const counts = output.match(/(\d+) passed, (\d+) failed\s*$/)
  const passed = code === 0 && counts !== null && Number(counts[1]) > 0 && counts[2] === '0'
  return { passed, output, result: counts ? counts[0].trim() : 'did not finish' }
}

async function refuse(command) {
  const { code, output } = await start(command, ['-e', "require('./index.js')"])
  return { passed: code !== 0 && REFUSAL.test(output), output, result: 'is refused with a reason' }
}

function start(command, args, env) {
  return new Promise((resolve) => {
    const options = {
      cwd: root,
      timeout: 900_000,
      maxBuffer: 1 << 26,
      env: { ...process.env, ...env },
    }
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal) : 0, output: stderr + stdout })
    })
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await setUp()
    await testRuntimes({ ends: process.argv.includes('--ends') })
  })
}
