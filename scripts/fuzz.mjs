// Fuzzes what reads fallback files, for a bounded time. Without a nightly Rust, which libFuzzer's
// instrumentation needs, the corpus is run as ordinary tests.

import { execFile } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root, run, runMain } from './command.mjs'

const TARGET = path.join(root, 'target', 'fuzz')
// Installed here when the machine has none.
const TOOLS = path.join(root, 'target', 'tools')

const works = (command, ...args) =>
  promisify(execFile)(command, args).then(
    () => true,
    () => false
  )

/** `seconds`: for all targets together. */
export async function fuzz(seconds = 20) {
  const why = await missing()
  if (why) {
    console.log(`${why}: the fuzzers' corpus is run as ordinary tests, and nothing is fuzzed.`)
    const manifest = path.join(root, 'fuzz', 'Cargo.toml')
    const options = ['--locked', '--no-default-features', '--target-dir', TARGET]
    return run('cargo', ['test', '--manifest-path', manifest, ...options])
  }
  const env = { PATH: `${path.join(TOOLS, 'bin')}${path.delimiter}${process.env.PATH}` }
  const cargoFuzz = (...args) => run('cargo', ['+nightly', 'fuzz', ...args], { env })
  const all = await targets()
  for (const target of all) {
    // What is found goes to the first folder; the committed one stays as it is.
    const found = path.join(TARGET, 'corpus', target)
    await mkdir(found, { recursive: true })
    const corpus = [found, path.join('fuzz', 'corpus', target)]
    const limits = [
      `-max_total_time=${Math.ceil(seconds / all.length)}`,
      '-timeout=10',
      '-rss_limit_mb=1024',
    ]
    const quiet = ['-verbosity=0', '-print_final_stats=1', '-reload=0']
    await cargoFuzz('run', '--target-dir', TARGET, target, ...corpus, '--', ...limits, ...quiet)
  }
}

async function targets() {
  const names = await readdir(path.join(root, 'fuzz', 'fuzz_targets'))
  return names.map((name) => path.parse(name).name).sort()
}

/** Why there can be no fuzzing here, after an attempt to get what is missing. */
async function missing() {
  if (process.platform === 'win32') return 'cargo-fuzz does not run on Windows'
  if (!(await works('cargo', '+nightly', '--version'))) {
    return 'There is no nightly Rust (rustup toolchain install nightly)'
  }
  const bin = path.join(TOOLS, 'bin', 'cargo-fuzz')
  if ((await works('cargo-fuzz', '--version')) || (await works(bin, '--version'))) return null
  const install = ['install', 'cargo-fuzz', '--locked', '--root', TOOLS]
  const installed = await run('cargo', install).then(
    () => true,
    () => false
  )
  return installed ? null : 'cargo-fuzz could not be installed'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain(() => fuzz())
