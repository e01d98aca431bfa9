// What a Linux addon needs of the system that loads it, read from the file itself.

import { readFile } from 'node:fs/promises'

const SHT_DYNAMIC = 6
const SHT_GNU_VERNEED = 0x6ffffffe
const DT_NEEDED = 1n

/**
 * @returns {Promise<{libraries: string[], versions: string[]}>} the libraries' names, and the symbol
 *   versions such as `GLIBC_2.17` that it needs of them
 */
export async function readNeeds(file) {
  const elf = await readFile(file)
  // 64 bits, little endian: all targets that we build.
  if (elf.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error(`${file} is no such ELF`)
  const sections = readSections(elf)
  return { libraries: readLibraries(elf, sections), versions: readVersions(elf, sections) }
}

function readSections(elf) {
  const [start, size, count] = [
    Number(elf.readBigUInt64LE(0x28)),
    elf.readUInt16LE(0x3a),
    elf.readUInt16LE(0x3c),
  ]
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * size
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 0x18)),
      size: Number(elf.readBigUInt64LE(at + 0x20)),
      link: elf.readUInt32LE(at + 0x28),
    }
  })
}

function readLibraries(elf, sections) {
  const dynamic = sections.find(({ type }) => type === SHT_DYNAMIC)
  const names = []
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    if (elf.readBigUInt64LE(at) === DT_NEEDED) {
      names.push(text(elf, sections[dynamic.link], Number(elf.readBigUInt64LE(at + 8))))
    }
  }
  return names
}

function readVersions(elf, sections) {
  const needs = sections.find(({ type }) => type === SHT_GNU_VERNEED)
  if (!needs) return []
  const versions = new Set()
  for (let library = needs.offset, more = 1; more; library += more) {
    const count = elf.readUInt16LE(library + 2)
    let at = library + elf.readUInt32LE(library + 8)
    for (let i = 0; i < count; i++) {
      versions.add(text(elf, sections[needs.link], elf.readUInt32LE(at + 8)))
      at += elf.readUInt32LE(at + 12)
    }
    more = elf.readUInt32LE(library + 12)
  }
  return [...versions].sort()
}

function text(elf, strings, offset) {
  const begin = strings.offset + offset
  return elf.toString('latin1', begin, elf.indexOf(0, begin))
}
