// Makes a fresh clone ready: npm dependencies, then the addon. Does nothing that is already done.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { nodeModule, root, run, runMain } from './command.mjs'
import { checkTools } from './tools.mjs'

const at = (...parts) => path.join(root, ...parts)

const DEPENDENCIES_STAMP = at('node_modules', '.kafka-publisher-lock')
const SOURCES = ['src', 'Cargo.toml', 'Cargo.lock', 'build.rs', '.cargo']
const BUILD_STAMP = at('target', 'addon.json')

/** Where the build leaves the addon, before it is copied to the top folder. */
const OUTPUT = at('target', 'addon')

/** All that the demo and the examples need. `profile`: of Cargo.toml's. */
export async function setUp({ profile } = {}) {
  await checkTools()
  await installDependencies()
  await buildAddon({ profile })
}

/** `npm ci`, if node_modules is absent or made from another package-lock.json. */
export async function installDependencies() {
  const lock = hash(await readFile(at('package-lock.json')))
  if ((await readText(DEPENDENCIES_STAMP)) === lock) return
  // None of the dependencies needs its install script: what they ship is ready to use.
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  await writeFile(DEPENDENCIES_STAMP, lock)
}

/**
 * The addon for this machine, as kafka-publisher.<platform>.node in the top folder. The tool is
 * not even started when neither what it reads nor what it made has changed.
 */
export async function buildAddon({ profile = 'release' } = {}) {
  const inputs = await hashInputs(profile)
  const stamp = JSON.parse((await readText(BUILD_STAMP)) ?? 'null')
  if (stamp?.inputs === inputs) {
    const addon = await readFile(at(stamp.file)).catch(() => null)
    if (addon && hash(addon) === stamp.addon) return
  }

  await rm(OUTPUT, { recursive: true, force: true })
  await mkdir(OUTPUT, { recursive: true })
  const cli = nodeModule('@napi-rs/cli/dist/cli.js')
  const options = ['--platform', '--profile', profile, '--no-js', '--output-dir', OUTPUT]
  await run('node', [cli, 'build', ...options], { env: await cargoEnv() })

  const file = (await readdir(OUTPUT)).find((name) => name.endsWith('.node'))
  // Renamed into place: a process that has the old one loaded keeps it whole.
  const coming = at(`${file}.new`)
  await copyFile(path.join(OUTPUT, file), coming)
  const addon = hash(await readFile(coming))
  await rename(coming, at(file))
  await writeFile(BUILD_STAMP, JSON.stringify({ inputs, file, addon }))
}

/**
 * The napi tool builds with `--target`, and cargo keeps such builds apart from others. Every other
 * call of cargo gets the same target, or else it compiles librdkafka and OpenSSL once more.
 */
export async function cargoEnv() {
  const host = (await rustcVersion()).match(/^host: (.+)$/m)[1]
  return { CARGO_BUILD_TARGET: process.env.CARGO_BUILD_TARGET ?? host }
}

async function hashInputs(profile) {
  const inputs = createHash('sha256')
  for (const source of SOURCES) {
    for (const file of await filesIn(source))
      inputs.update(`${file}\0`).update(await readFile(at(file)))
  }
  const { version, napi } = await readPackage()
  inputs.update(JSON.stringify([profile, version, napi, await rustcVersion(), await cargoEnv()]))
  return inputs.digest('hex')
}

async function filesIn(source) {
  if (!existsSync(at(source))) return []
  const entries = await readdir(at(source), { recursive: true, withFileTypes: true }).catch(
    (error) => (error.code === 'ENOTDIR' ? null : Promise.reject(error))
  )
  if (entries === null) return [source]
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort()
}

const rustcVersion = async () => (await promisify(execFile)('rustc', ['-vV'])).stdout
const readPackage = async () => JSON.parse(await readFile(at('package.json'), 'utf8'))
const readText = (file) => readFile(file, 'utf8').catch(() => null)
const hash = (data) => createHash('sha256').update(data).digest('hex')

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await setUp()
  })
}
