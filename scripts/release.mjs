// `npm run build:release [-- TARGET]`: the addon that ships, in npm/<platform>/. For Linux it is built
// with zig, whose C library is as old as we ask for, and then checked: it needs glibc 2.17 or musl, and
// no other library.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, readdir, readFile, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root, run, runMain, StepFailed } from './command.mjs'
import { readNeeds } from './elf.mjs'
import { checkTools } from './tools.mjs'

const GLIBC = '2.17'
const ZIG = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1']
/** The C library itself; before glibc 2.34 it was several. */
const ALLOWED = {
  gnu: /^(ld-linux-[\w-]+\.so\.\d|lib(c|m|pthread|dl|rt)\.so\.\d)$/,
  musl: /^libc\.so$/,
}

const PLATFORMS = {
  'x86_64-unknown-linux-gnu': 'linux-x64-gnu',
  'x86_64-unknown-linux-musl': 'linux-x64-musl',
  'aarch64-unknown-linux-gnu': 'linux-arm64-gnu',
  'aarch64-unknown-linux-musl': 'linux-arm64-musl',
  'x86_64-apple-darwin': 'darwin-x64',
  'aarch64-apple-darwin': 'darwin-arm64',
  'x86_64-pc-windows-msvc': 'win32-x64-msvc',
}

export const addonOf = (platform) =>
  path.join(root, 'npm', platform, `kafka-publisher.${platform}.node`)

/** Builds for a target of Rust's, by default this machine's; returns the platform's name. */
export async function buildRelease(wanted) {
  const target = wanted ?? (await hostTarget())
  const platform = PLATFORMS[target]
  if (!platform)
    throw new StepFailed(
      `no package is for ${target}, only for:\n  ${Object.keys(PLATFORMS).join('\n  ')}`
    )
  await checkTools()
  const library = await build(target)
  await copyFile(library, addonOf(platform))
  if (platform.startsWith('linux')) await checkAddon(platform)
  const { size } = await stat(addonOf(platform))
  console.log(`${path.relative(root, addonOf(platform))}: ${(size / 1e6).toFixed(1)} MB`)
  return platform
}

async function build(target) {
  const linux = target.includes('linux')
  // Apart from other builds, whose C libraries are linked to the system's.
  const folder = path.join(root, 'target', linux ? 'zig' : 'release-build')
  const env = { CARGO_TARGET_DIR: folder, CARGO_BUILD_TARGET: target }
  const options = ['--locked', '--profile', 'ship', '--lib', '--target']
  if (linux) {
    const bin = await installZig()
    env.PATH = `${bin}${path.delimiter}${process.env.PATH}`
    // musl's own libraries are static by default, and a static one cannot be loaded.
    if (target.endsWith('musl')) env.RUSTFLAGS = '-C target-feature=-crt-static'
    const versioned = target.endsWith('gnu') ? `${target}.${GLIBC}` : target
    await run('cargo', ['zigbuild', ...options, versioned], { env })
  } else {
    await run('cargo', ['build', ...options, target], { env })
  }
  const output = path.join(folder, target, 'ship')
  const file = (await readdir(output)).find((name) =>
    /^(lib)?kafka_publisher\.(so|dylib|dll)$/.test(name)
  )
  return path.join(output, file)
}

/** zig and cargo-zigbuild, from PyPI, in a cache outside the tree. Returns where their programs are. */
async function installZig() {
  const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
  const home = path.join(cache, 'kafka-publisher', `zig-${ZIG.join('+').replace(/[^\d.+]/g, '')}`)
  const bin = path.join(home, 'bin')
  if (!existsSync(path.join(bin, 'cargo-zigbuild'))) {
    await run('python3', ['-m', 'venv', home])
    await run(path.join(bin, 'python3'), ['-m', 'pip', 'install', '--quiet', ...ZIG])
  }
  return bin
}

/** Reads from the file that ships what it needs of a system. */
export async function checkAddon(platform) {
  const libc = platform.endsWith('musl') ? 'musl' : 'gnu'
  const { libraries, versions } = await readNeeds(addonOf(platform))
  const foreign = libraries.filter((name) => !ALLOWED[libc].test(name))
  const tooNew = versions.filter(
    (version) => libc === 'musl' || !version.startsWith('GLIBC_') || isNewer(version, GLIBC)
  )
  if (foreign.length > 0 || tooNew.length > 0) {
    throw new StepFailed(`the addon for ${platform} needs ${[...foreign, ...tooNew].join(', ')}`)
  }
  const newest = versions.slice().sort((a, b) => (isNewer(a, b.slice('GLIBC_'.length)) ? -1 : 1))[0]
  console.log(`${platform} needs ${[newest, ...libraries].filter(Boolean).join(', ')}`)
}

function isNewer(version, than) {
  const [major, minor] = version.slice('GLIBC_'.length).split('.').map(Number)
  const [thanMajor, thanMinor] = than.split('.').map(Number)
  return major > thanMajor || (major === thanMajor && minor > thanMinor)
}

async function hostTarget() {
  const { stdout } = await promisify(execFile)('rustc', ['-vV'])
  return stdout.match(/^host: (.+)$/m)[1]
}

export const readPackage = async (folder = '.') =>
  JSON.parse(await readFile(path.join(root, folder, 'package.json'), 'utf8'))

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(() => buildRelease(process.argv[2]))
}
