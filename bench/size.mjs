// How much a package puts onto the disk of those who install it, its dependencies included.

import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { root } from '../scripts/command.mjs'

const PACKAGES = {
  platformatic: '@platformatic/kafka',
  'node-rdkafka': 'node-rdkafka',
  kafkajs: 'kafkajs',
  original: 'kafka-publisher',
}

/** In bytes. */
export function packageSize(contender, { peers }) {
  return contender === 'addon' ? addonSize() : peerSize(peers, PACKAGES[contender])
}

/** What a package of this platform has: the published files and the addon. */
async function addonSize() {
  const { files, napi } = await readManifest(root)
  const names = await readdir(root)
  const addons = names.filter(
    (name) => name.startsWith(`${napi.binaryName}.`) && name.endsWith('.node')
  )
  const all = new Set([...files, 'package.json', 'README.md', 'LICENSE', ...addons])
  return sum([...all].map((name) => size(path.join(root, name))))
}

async function peerSize(peers, name) {
  const modules = path.join(peers, 'node_modules')
  const found = new Set()
  const visit = async (folder) => {
    if (found.has(folder)) return
    found.add(folder)
    const { dependencies, optionalDependencies } = await readManifest(folder)
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) {
      // One in the package's own node_modules is counted with it; one for another platform is absent.
      const at = path.join(modules, dependency)
      if (await isFolder(path.join(folder, 'node_modules', dependency))) continue
      if (await isFolder(at)) await visit(at)
    }
  }
  await visit(path.join(modules, name))
  return sum([...found].map(size))
}

async function size(file) {
  const stats = await stat(file).catch(() => null)
  if (!stats?.isDirectory()) return stats?.size ?? 0
  const entries = await readdir(file, { withFileTypes: true })
  return sum(
    entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => size(path.join(file, entry.name)))
  )
}

const sum = async (sizes) => (await Promise.all(sizes)).reduce((total, one) => total + one, 0)
const isFolder = async (file) => (await stat(file).catch(() => null))?.isDirectory() ?? false
const readManifest = async (folder) =>
  JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'))
