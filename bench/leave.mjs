// `node bench/leave.mjs JOB`: leaves fallback files as other processes do, in a process of its own: the
// one that is measured has not made them. bench/tasks/left.mjs starts it.

import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { makeMessages } from './messages.mjs'

const BOOT = '/proc/sys/kernel/random/boot_id'
const AT_ONCE = 500

const { directory, topic, bytes, count, size, elsewhere } = JSON.parse(process.argv[2])

const boot = await readFile(BOOT, 'utf8').catch(() => '')
const lock = `${JSON.stringify({ host: hostname(), boot: elsewhere ? 'another' : boot.trim(), pid: 1, beat: 1 })}\n`
const messages = makeMessages(bytes)
let made = 0
let large = null

await mkdir(directory, { recursive: true, mode: 0o700 })
if (size) large = await leave(makeLines(size))
for (let begin = 0; begin < count; begin += AT_ONCE) {
  const files = []
  for (let i = begin; i < Math.min(begin + AT_ONCE, large ? count - 1 : count); i++)
    files.push(leave())
  await Promise.all(files)
}

/** One file, and the lock file of a process that has died. Returns the file's path. */
async function leave(lines = null) {
  const name = path.join(directory, `fallback-${randomUUID()}`)
  const file = `${name}-000001.log`
  await writeFile(`${name}.lock`, lock, { mode: 0o600 })
  // One file under many names is as much to read as many, and takes the disk of one.
  if (large) await link(large, file)
  else await writeFile(file, lines ?? nextLine(), { mode: 0o600 })
  return file
}

function makeLines(size) {
  const lines = []
  for (let length = 0; length < size; length += lines.at(-1).length) lines.push(nextLine())
  return lines.join('')
}

function nextLine() {
  const { key, value } = messages[made++ % messages.length]
  return `${JSON.stringify({ topic, key, value, timestamp: Date.now() })}\n`
}
