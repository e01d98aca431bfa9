// `npm run test:package`: the tarballs that are published are installed from a registry, by several
// package managers, into empty projects on machines that have nothing but Node.js, and README's
// example is run there. Types and exports are checked, too.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { nodeModule, root, run, runMain, StepFailed } from './command.mjs'
import { pack, packStandIn } from './pack.mjs'
import { buildRelease, readPackage } from './release.mjs'
import { setUp } from './setup.mjs'

const require = createRequire(import.meta.url)
const execute = promisify(execFile)
const { installRuntime, nodeOf, MANAGERS } = require('../__test__/support/runtimes.js')
const { startRegistry } = require('../__test__/support/registry.js')

const QUIET = ['--no-audit', '--no-fund', '--loglevel=error']
/**
 * `libc`: it reads the field of this name in package.json, and installs for one C library only.
 * `fetchesAll`: it fetches the packages of all platforms before it looks which of them to install.
 */
const INSTALLS = [
  { manager: 'npm 6', node: '8.17.0', args: ['install', ...QUIET, 'kafka-publisher'] },
  {
    manager: 'npm 11',
    node: '26.10.0',
    libc: true,
    args: ['install', ...QUIET, 'kafka-publisher'],
  },
  { manager: 'pnpm', node: '26.10.0', libc: true, args: ['add', 'kafka-publisher'] },
  { manager: 'yarn 1', node: '8.17.0', fetchesAll: true, args: ['add', 'kafka-publisher'] },
]

/** `onlyNpm`: not pnpm and yarn. The addon is the one that ships, or else a local build. */
export async function testPackage({ platform, addon, onlyNpm = false }) {
  const packed = await pack({ platform, addon })
  for (const { filename, size, unpackedSize, files } of packed) {
    console.log(`${filename}: ${kB(size)}, unpacked ${kB(unpackedSize)}`)
    for (const file of files) console.log(`  ${file.path} ${kB(file.size)}`)
  }
  checkContent(packed)
  await checkTypes(packed[0])
  const sibling = siblingOf(platform)
  const standIns = sibling ? [await packStandIn(sibling)] : []
  const registry = await startRegistry(await listed([...packed, ...standIns]))
  const { MockCluster } = require('../testing.js')
  const cluster = new MockCluster({ brokers: 1 })
  try {
    for (const install of INSTALLS.filter(({ manager }) => !onlyNpm || /^npm/.test(manager))) {
      await testInstallation(install, { registry, cluster, platform })
    }
  } finally {
    cluster.close()
    registry.close()
  }
}

/** The same platform with the other C library, which older package managers do not tell apart. */
function siblingOf(platform) {
  if (platform.endsWith('-gnu')) return platform.replace('-gnu', '-musl')
  return platform.endsWith('-musl') ? platform.replace('-musl', '-gnu') : null
}

const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

function checkContent([main, addon]) {
  const names = (packed) => packed.files.map((file) => file.path).sort()
  const expected =
    'CHANGELOG.md LICENSE README.md index.d.ts index.js lib/abort.js lib/callbacks.js lib/deliveries.js lib/events.js lib/record.js lib/text.js lib/token.js lib/writable.js load.js opentelemetry.d.ts opentelemetry.js package.json testing.d.ts testing.js v3.d.ts v3.js'
  const [file] = names(addon).filter((name) => name.endsWith('.node'))
  const expectedAddon = ['LICENSE', 'README.md', file, 'package.json']
  if (names(main).join(' ') !== expected || names(addon).join() !== expectedAddon.join()) {
    throw new StepFailed('the tarballs do not hold what they are to hold')
  }
}

/** Every package: those of other platforms can be asked about, and are not to be fetched. */
async function listed([main, ...addons]) {
  const read = async (folder) =>
    JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'))
  const manifest = await read(main.folder)
  const packages = [{ manifest, tarball: main.tarball }]
  for (const name of Object.keys(manifest.optionalDependencies)) {
    const ours = addons.find((addon) => addon.name === name)
    const folder = path.join('npm', name.slice('kafka-publisher-'.length))
    packages.push({ manifest: await readPackage(folder), tarball: ours?.tarball })
  }
  return packages
}

async function testInstallation(
  { manager, node, args, libc, fetchesAll },
  { registry, cluster, platform }
) {
  const begin = performance.now()
  const runtime = await installRuntime(nodeOf(node))
  const program = await installRuntime(MANAGERS[manager])
  const home = await mkdtemp(path.join(os.tmpdir(), 'kafka-publisher-install-'))
  const bin = path.join(home, 'bin')
  const project = path.join(home, 'project')
  try {
    await mkdir(bin)
    await mkdir(project)
    await symlink(runtime.command, path.join(bin, 'node'))
    await writeFile(path.join(project, 'package.json'), '{ "name": "project", "version": "1.0.0" }')
    // Nothing else is on the PATH: no cargo, no compiler, not even a shell.
    const options = {
      cwd: project,
      timeout: 120_000,
      env: {
        PATH: bin,
        HOME: home,
        npm_config_registry: registry.url,
        YARN_REGISTRY: registry.url,
      },
    }
    registry.fetched.length = 0
    await execute(runtime.command, [program.command, ...args], options)
    const expected = ['kafka-publisher', `kafka-publisher-${platform}`]
    if (!libc) expected.push(`kafka-publisher-${siblingOf(platform)}`)
    const installed = await installedIn(project)
    const missing = expected.filter((name) => !installed.includes(name))
    if (missing.length > 0) throw new StepFailed(`${manager} left out ${missing.join(', ')}`)
    const got = [...(fetchesAll ? [] : registry.fetched), ...installed]
    const foreign = got.filter((name) => !expected.includes(name))
    if (foreign.length > 0) throw new StepFailed(`${manager} installed ${foreign.join(', ')}`)
    await runExample({ runtime, node, project, options, cluster })
    const ms = await timeRequire(runtime, options)
    const seconds = ((performance.now() - begin) / 1000).toFixed(1)
    console.log(
      `${manager} on Node.js ${node}: README's example runs; require takes ${ms} ms (${seconds} s)`
    )
  } catch (error) {
    if (error instanceof StepFailed) throw error
    throw new StepFailed(`${manager} on Node.js ${node}: ${error.message}\n${error.stdout ?? ''}`)
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

async function installedIn(project) {
  const names = []
  for (const folder of ['node_modules', 'node_modules/.pnpm']) {
    const entries = await readdir(path.join(project, folder)).catch(() => [])
    names.push(...entries.map((entry) => entry.split('@')[0]))
  }
  return names.filter((name) => name.startsWith('kafka-publisher'))
}

/** README's first program, word for word but for the address of Kafka and, on Node.js 8, `import`. */
async function runExample({ runtime, node, project, options, cluster }) {
  const readme = await readFile(
    path.join(project, 'node_modules/kafka-publisher/README.md'),
    'utf8'
  )
  const [, program] = readme.match(/^## Usage\n\n```javascript\n([\s\S]*?)^```/m)
  const [, required] = readme.match(/`(const \{ KafkaPublisher \} = require\('kafka-publisher'\))`/)
  const old = Number(node.split('.')[0]) < 12
  const text = (old ? program.replace(/^import .*$/m, required) : program).replace(
    '127.0.0.1:9092',
    cluster.connectionString
  )
  const file = path.join(project, old ? 'example.js' : 'example.mjs')
  await writeFile(file, text)
  const before = await cluster.topicEnd('someTopicName')
  await execute(runtime.command, [file], options)
  const messages = await cluster.readTopic('someTopicName')
  const last = messages.map(({ key, value }) => `${key} ${value}`).at(-1)
  if (messages.length !== before + 1 || last !== '"someKey" {"foo":"bar","bar":"baz"}') {
    throw new StepFailed(`README's example published ${messages.length - before}: ${last}`)
  }
}

async function timeRequire(runtime, options) {
  const script = `const begin = process.hrtime(); require('kafka-publisher')
    const [s, ns] = process.hrtime(begin); console.log((s * 1e3 + ns / 1e6).toFixed(1))`
  return (await execute(runtime.command, ['-e', script], options)).stdout.trim()
}

/** The types of the tarball under each way of resolving modules, and what two linters say of it. */
async function checkTypes({ tarball, folder }) {
  const project = await mkdtemp(path.join(os.tmpdir(), 'kafka-publisher-types-'))
  try {
    await mkdir(path.join(project, 'node_modules'))
    await symlink(folder, path.join(project, 'node_modules', 'kafka-publisher'))
    await symlink(nodeModule('@types'), path.join(project, 'node_modules', '@types'))
    const program = await readFile(path.join(root, '__test__/types/consumer.ts'), 'utf8')
    for (const extension of ['ts', 'mts', 'cts']) {
      await writeFile(path.join(project, `consumer.${extension}`), program)
    }
    for (const [module, resolution] of [
      ['node16', 'node16'],
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      const files = [
        'consumer.ts',
        'consumer.mts',
        ...(module === 'esnext' ? [] : ['consumer.cts']),
      ]
      const how = ['--module', module, '--moduleResolution', resolution]
      const options = ['--strict', '--noEmit', '--target', 'es2022', ...how]
      // With Node.js's own types, and without.
      for (const types of [
        ['--types', 'node'],
        ['--typeRoots', 'none'],
      ]) {
        const args = [nodeModule('typescript/bin/tsc'), ...options, ...types, ...files]
        await execute(process.execPath, args, { cwd: project }).catch((error) => {
          throw new StepFailed(`tsc, ${resolution}, ${types.join(' ')}:\n${error.stdout}`)
        })
      }
      console.log(`types: ok under ${resolution}, with and without those of Node.js`)
    }
  } finally {
    await rm(project, { recursive: true, force: true })
  }
  const attw = nodeModule('@arethetypeswrong/cli/dist/index.js')
  await run('node', [attw, tarball, '--no-emoji', '--no-color', '--format', 'ascii'])
  await run('node', [nodeModule('publint/src/cli.js'), 'run', tarball, '--strict'])
}

/** With the local build, which is not the one that ships, in its place. */
async function testLocalPackage() {
  const platform = require('../__test__/support/platform.js')
  const addon = path.join(root, `kafka-publisher.${platform}.node`)
  await testPackage({ platform, addon, onlyNpm: true })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await setUp()
    // For `npm test`.
    if (process.argv.includes('--local')) await testLocalPackage()
    else await testPackage({ platform: await buildRelease() })
  })
}
