// What the contenders run on: other versions of Node.js, the peers, and the floor's binary. All of it
// goes below target/bench, which is not in git; what is there already is not fetched again.

import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { root, run, StepFailed } from '../scripts/command.mjs'
import { cargoEnv } from '../scripts/setup.mjs'

const HOME = path.join(root, 'target', 'bench')
/** These have no package of their own to be fetched. */
const OWN = ['addon', 'stringify', 'librdkafka', 'librdkafka-idempotent']
const NPM = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']

/** @returns {Promise<object>} peers.json */
export async function readPeers() {
  return JSON.parse(await readFile(path.join(root, 'bench', 'peers.json'), 'utf8'))
}

/**
 * Makes one version of Node.js ready, with its peers if any of these contenders is one.
 *
 * @param {string} major such as '20'
 * @param {string[]} contenders
 * @returns {Promise<{major: string, node: string, peers: string}>} the path of the program, and of the
 *   folder whose node_modules has the peers
 */
export async function install(major, contenders) {
  const { node: runtimes, dependencies, overrides } = await readPeers()
  if (!runtimes[major]) {
    throw new StepFailed(`--node takes ${Object.keys(runtimes).join(' or ')}, not '${major}'`, 2)
  }
  const node = await installNode(major, runtimes[major])
  const peers = path.join(HOME, `node${major}`)
  if (contenders.some((name) => !OWN.includes(name))) {
    const packages = { dependencies: dependencies[major], overrides }
    await installPackages(peers, packages, await withNode(node))
  }
  return { major, node, peers }
}

/** The running Node.js if it is of this version, or else one from the npm registry. */
async function installNode(major, version) {
  if (process.versions.node.split('.')[0] === major) return process.execPath
  const name = `node-${process.platform}-${process.arch}`
  const folder = path.join(HOME, `runtime${major}`)
  await installPackages(folder, { dependencies: { [name]: version } }, {})
  return path.join(folder, 'node_modules', name, 'bin', 'node')
}

/**
 * The environment in which npm compiles for this Node.js: it finds the program first in PATH, and the
 * header files beside it if they are there (otherwise node-gyp downloads them).
 */
async function withNode(node) {
  const env = {
    PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH}`,
    // node-rdkafka's makefile fails when it is run in parallel.
    JOBS: '1',
  }
  const prefix = path.dirname(path.dirname(await realpath(node)))
  if (await exists(path.join(prefix, 'include', 'node', 'node.h'))) env.npm_config_nodedir = prefix
  return env
}

async function installPackages(folder, { dependencies, overrides }, env) {
  const manifest = JSON.stringify({ private: true, dependencies, overrides }, null, 2)
  const stamp = path.join(folder, 'installed.json')
  if ((await readFile(stamp, 'utf8').catch(() => null)) === manifest) return
  console.log(`installing ${Object.entries(dependencies).map((at) => at.join('@'))}`)
  if (dependencies['node-rdkafka']) console.log('node-rdkafka is compiled, which takes minutes')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'package.json'), manifest)
  await run('npm', ['install', ...NPM, '--prefix', folder], { env })
  await writeFile(stamp, manifest)
}

/** Builds the floor, which finds librdkafka compiled: it has the addon's features and target. */
export async function buildFloor() {
  const env = { ...(await cargoEnv()), CARGO_TARGET_DIR: path.join(root, 'target') }
  const manifest = path.join(root, 'bench', 'floor', 'Cargo.toml')
  await run('cargo', ['build', '--release', '--locked', '--quiet', '--manifest-path', manifest], {
    env,
  })
  const name = `floor${process.platform === 'win32' ? '.exe' : ''}`
  return path.join(root, 'target', env.CARGO_BUILD_TARGET, 'release', name)
}

const exists = (file) =>
  stat(file).then(
    () => true,
    () => false
  )
