// `npm run test:memory`: the conformance script under valgrind. Fails on each wrong use of memory, and on
// each leak, whose stack has a frame of the addon; those of Node.js itself are not looked at.

import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import { root, run, runMain, StepFailed } from './command.mjs'
import { conform } from './runtimes.mjs'
import { cargoEnv, setUp } from './setup.mjs'

const require = createRequire(import.meta.url)
const { nodeOf, installRuntime } = require('../__test__/support/runtimes.js')

const NODE = '20.20.2'
const FOLDER = path.join(root, 'target', 'memory')
const ADDON = path.join(FOLDER, 'kafka-publisher.node')
const OPTIONS = [
  '--leak-check=full',
  '--show-leak-kinds=definite',
  '--errors-for-leak-kinds=definite',
  `--suppressions=${path.join(root, 'scripts', 'memory.supp')}`,
  // Node.js's own frames are many, and ours come below them.
  '--num-callers=60',
  '--error-limit=no',
  // The script starts processes that leave in different ways.
  '--trace-children=yes',
  '--xml=yes',
  `--xml-file=${path.join(FOLDER, '%p.xml')}`,
]

async function main() {
  await promisify(execFile)('valgrind', ['--version']).catch(() => {
    throw new StepFailed('This needs valgrind, which runs on Linux: with apt or dnf, valgrind.')
  })
  await setUp()
  await buildWithSymbols()
  const { command } = await installRuntime(nodeOf(NODE))
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: ADDON }
  const { passed, result, output } = await conform('valgrind', [...OPTIONS, command], env)
  console.log(`Node.js ${NODE} under valgrind: ${result}`)
  if (!passed) throw new StepFailed(output)
  await judge()
}

/** The addon that ships has no symbols, without which nobody knows where an error is. */
async function buildWithSymbols() {
  await rm(FOLDER, { recursive: true, force: true })
  await mkdir(FOLDER, { recursive: true })
  const env = await cargoEnv()
  const options = ['rustc', '--locked', '--release', '--lib', '--', '-C', 'strip=none']
  await run('cargo', options, { env })
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target')
  const built = path.join(target, env.CARGO_BUILD_TARGET, 'release', 'libkafka_publisher.so')
  await copyFile(built, ADDON)
}

async function judge() {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.xml'))
  let others = 0
  const ours = []
  for (const file of files) {
    const report = await readFile(path.join(FOLDER, file), 'utf8')
    if (!report.trimEnd().endsWith('</valgrindoutput>')) {
      throw new StepFailed(`${path.join(FOLDER, file)} is not complete`)
    }
    // A process that leaves in mid-work leaves its memory as it is.
    const leaves = report.includes('leaving.cjs')
    for (const [, error] of report.matchAll(/<error>([\s\S]*?)<\/error>/g)) {
      if (leaves && element(error, 'kind').startsWith('Leak_')) continue
      const frames = readFrames(error)
      if (frames.some(({ object }) => object === ADDON)) ours.push(describe(error, frames))
      else others += 1
    }
  }
  for (const error of ours) console.error(`\n${error}`)
  console.log(`${files.length} processes: ${ours.length} errors of ours, ${others} of others`)
  if (ours.length > 0) throw new StepFailed('valgrind found errors')
}

/** Of all its stacks: where it happened, and where the memory was allocated or freed. */
function readFrames(error) {
  return [...error.matchAll(/<frame>([\s\S]*?)<\/frame>/g)].map(([, frame]) => ({
    object: element(frame, 'obj'),
    function: element(frame, 'fn') ?? element(frame, 'ip'),
    file: element(frame, 'file'),
    line: element(frame, 'line'),
  }))
}

function describe(error, frames) {
  const what = element(error, 'text') ?? element(error, 'what')
  const lines = frames.map(
    ({ object, function: name, file, line }) =>
      `  ${name} (${file ? `${file}:${line}` : path.basename(object ?? '?')})`
  )
  return [`${element(error, 'kind')}: ${what}`, ...lines].join('\n')
}

function element(xml, name) {
  const text = new RegExp(`<${name}>([\\s\\S]*?)</${name}>`).exec(xml)?.[1]
  return text?.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&')
}

await runMain(main)
