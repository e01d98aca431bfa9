// `node bench/leave.mjs JOB`: leaves fallback files as other processes do, in a process of its own: the
// one that is measured has not made them. bench/tasks/left.mjs starts it.

import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { makeMessages } from './messages.mjs'

const BOOT = '/proc/sys/kernel/random/boot_id'
const AT_ONCE = 500

const { directory, topic, bytes, count, messages: each, size } = JSON.parse(process.argv[2])

const boot = await readFile(BOOT, 'utf8').catch(() => '')
const lock = `${JSON.stringify({ host: hostname(), boot: boot.trim(), pid: 1, beat: 1 })}\n`
const messages = makeMessages(bytes)
let made = 0

await mkdir(directory, { recursive: true, mode: 0o700 })
for (let begin = 0; begin < count; begin += AT_ONCE) {
  const files = []
  for (let i = begin; i < Math.min(begin + AT_ONCE, count); i++) files.push(leave())
  await Promise.all(files)
}

/** One file, of `each` messages, and the lock file of a process that has died. */
async function leave() {
  const name = path.join(directory, `fallback-${randomUUID()}`)
  let lines = ''
  for (let i = 0; i < each; i++) lines += nextLine()
  await writeFile(`${name}.lock`, lock, { mode: 0o600 })
  const file = await open(`${name}-000001.log`, 'wx', 0o600)
  await file.writeFile(lines)
  // The rest is a hole, which is read as zeros: no line, and no room on the disk.
  if (size) await file.truncate(size)
  await file.close()
}

function nextLine() {
  const { key, value } = messages[made++ % messages.length]
  return `${JSON.stringify({ topic, key, value, timestamp: Date.now() })}\n`
}
