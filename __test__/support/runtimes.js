// The runtimes that the package is for, and the package managers that install it, real ones, in a cache outside the tree: npm fetches each once
// a machine.

const { execFile } = require('node:child_process')
const fs = require('node:fs/promises')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')

const run = promisify(execFile)

/** The oldest of each line that the package says it runs on, and the newest of those in use. */
const NODE_VERSIONS = [
  '8.16.0',
  '8.17.0',
  '10.16.0',
  '10.24.1',
  '11.8.0',
  '12.22.12',
  '14.21.3',
  '16.20.2',
  '18.20.8',
  '20.20.2',
  '22.23.3',
  '24.21.0',
  '26.10.0',
]
const UNSUPPORTED_NODE_VERSIONS = ['9.11.2', '10.15.3', '11.7.0']

/** Package managers, which a Node.js runs. */
const MANAGERS = {
  // The one that Node.js 8.17 came with.
  'npm 6': runtime('npm 6', 'npm', '6.13.4', 'bin/npm-cli.js'),
  'npm 11': runtime('npm 11', 'npm', '11.19.1', 'bin/npm-cli.js'),
  pnpm: runtime('pnpm', 'pnpm', '10.34.9', 'bin/pnpm.cjs'),
  'yarn 1': runtime('yarn 1', 'yarn', '1.22.22', 'bin/yarn.js'),
}

const RUNTIMES = [...NODE_VERSIONS.map(nodeOf), bun(), deno()]
/** What `npm test` takes the time for. */
const ENDS_OF_THE_RANGE = [nodeOf('8.17.0'), nodeOf(NODE_VERSIONS.at(-1)), bun(), deno()]
const UNSUPPORTED = UNSUPPORTED_NODE_VERSIONS.map(nodeOf)

function nodeOf(version) {
  const name = `node-linux-${process.arch}`
  return runtime(`Node.js ${version}`, name, version, 'bin/node')
}

function bun() {
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch
  return runtime('Bun', `@oven/bun-linux-${arch}`, '1.4.5', 'bin/bun')
}

function deno() {
  return runtime('Deno', `@deno/linux-${process.arch}-glibc`, '2.9.6', 'deno', [
    'run',
    '--allow-all',
  ])
}

function runtime(label, name, version, program, flags = []) {
  return { label, name, version, program, flags }
}

/** Resolves with the command and the flags that run a script. */
async function installRuntime({ name, version, program, flags }) {
  const folder = path.join(cacheHome(), 'kafka-publisher', 'runtimes')
  const home = path.join(folder, `${name.replace('/', '+')}-${version}`)
  const command = path.join(home, 'node_modules', name, program)
  if (!(await exists(command))) {
    await fs.mkdir(folder, { recursive: true })
    const making = await fs.mkdtemp(path.join(folder, 'making-'))
    try {
      const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
      await run('npm', ['install', '--prefix', making, ...options, `${name}@${version}`])
      await moveUnlessThere(making, home)
    } finally {
      await fs.rm(making, { recursive: true, force: true })
    }
  }
  return { command, flags }
}

// Another run may have finished the same work meanwhile; its outcome is as good as ours.
async function moveUnlessThere(from, to) {
  await fs.rename(from, to).catch((error) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

const cacheHome = () => process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')

const exists = (file) =>
  fs.access(file).then(
    () => true,
    () => false
  )

module.exports = { RUNTIMES, ENDS_OF_THE_RANGE, UNSUPPORTED, MANAGERS, nodeOf, installRuntime }
