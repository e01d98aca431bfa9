// Packs the tarballs that are published: `npm run pack` writes those of kafka-publisher itself and of
// every platform whose addon is in npm/<platform>/ to target/packages.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root, runMain, StepFailed } from './command.mjs'
import { addonOf, checkAddon, readPackage } from './release.mjs'

export const PACKAGES = path.join(root, 'target', 'packages')
/** Of no use to those who install the package. */
const OURS = ['scripts', 'devDependencies', 'napi']
const ALWAYS_PACKED = ['README.md', 'LICENSE']

/**
 * What is packed is listed as npm lists it: `{ filename, unpackedSize, files: [{ path }] }`.
 *
 * @param {{platform?: string, addon?: string}} [only] one platform only, for tests: with this addon
 *   instead of the one that ships, and then without the check of what it needs
 */
export async function pack({ platform, addon } = {}) {
  await rm(PACKAGES, { recursive: true, force: true })
  const all = await readdir(path.join(root, 'npm'))
  const wanted = platform ? [platform] : all.filter((name) => existsSync(addonOf(name)))
  await checkPlatformPackages(all)
  const packed = [await packFolder(await stageMain(all))]
  for (const name of wanted) {
    if (!addon && name.startsWith('linux')) await checkAddon(name)
    packed.push(await packFolder(await stagePlatform(name, addon ?? addonOf(name))))
  }
  return packed
}

/** The published package.json names the platform packages, at its own version exactly. */
async function stageMain(platforms) {
  const content = await readPackage()
  for (const name of OURS) delete content[name]
  content.optionalDependencies = Object.fromEntries(
    platforms.map((platform) => [`${content.name}-${platform}`, content.version])
  )
  return stage('kafka-publisher', content, '.', [...content.files, ...ALWAYS_PACKED])
}

/** A package like that of another platform, whose addon nothing can load: for tests. */
export async function packStandIn(platform) {
  const content = await readPackage(path.join('npm', platform))
  const folder = path.join(PACKAGES, content.name)
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'package.json'), JSON.stringify(content))
  await writeFile(path.join(folder, content.main), 'for another platform')
  return packFolder(folder)
}

async function stagePlatform(platform, addon) {
  const from = path.join('npm', platform)
  const content = await readPackage(from)
  const folder = await stage(content.name, content, from, ['README.md'])
  await copyFile(addon, path.join(folder, content.main))
  return folder
}

async function stage(name, content, from, files) {
  const folder = path.join(PACKAGES, name)
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)
  for (const file of files) {
    await cp(path.join(root, from, file), path.join(folder, file), { recursive: true })
  }
  await copyFile(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'))
  return folder
}

async function packFolder(folder) {
  const options = ['pack', '--json', '--ignore-scripts', '--pack-destination', PACKAGES]
  const shell = process.platform === 'win32'
  const { stdout } = await promisify(execFile)('npm', options, { cwd: folder, shell })
  const answer = JSON.parse(stdout)
  const [packed] = Array.isArray(answer) ? answer : Object.values(answer)
  return { ...packed, tarball: path.join(PACKAGES, packed.filename), folder }
}

/** They are written by hand, and have to agree with the package. */
async function checkPlatformPackages(platforms) {
  const main = await readPackage()
  for (const platform of platforms) {
    const content = await readPackage(path.join('npm', platform))
    const [os, cpu, abi] = platform.split('-')
    const libc = { gnu: ['glibc'], musl: ['musl'] }[abi]
    const file = `kafka-publisher.${platform}.node`
    const expected = {
      name: `${main.name}-${platform}`,
      version: main.version,
      license: main.license,
      repository: main.repository,
      engines: main.engines,
      os: [os],
      cpu: [cpu],
      libc,
      main: file,
      files: [file],
    }
    for (const [name, value] of Object.entries(expected)) {
      if (JSON.stringify(content[name]) !== JSON.stringify(value)) {
        throw new StepFailed(
          `npm/${platform}/package.json: ${name} is to be ${JSON.stringify(value)}`
        )
      }
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    for (const { tarball } of await pack()) console.log(path.relative(root, tarball))
  })
}
