// What fallback files hold, whichever version has written them.

import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'

/**
 * @param {string} directory
 * @param {{key: string, value: object}[]} messages as they were queued, again and again
 * @returns {Promise<{lines: number, inOrder: boolean, withKeys: boolean}>}
 */
export async function readLines(directory, messages) {
  const texts = messages.map(({ value }) => JSON.stringify(value))
  let lines = 0
  let inOrder = true
  let withKeys = true
  for (const file of await filesIn(directory)) {
    for await (const line of createInterface({ input: createReadStream(file) })) {
      const { value, mesgValue = JSON.stringify(value), key } = JSON.parse(line)
      const at = lines++ % messages.length
      inOrder &&= mesgValue === texts[at]
      withKeys &&= key !== undefined
    }
  }
  return { lines, inOrder, withKeys }
}

async function filesIn(directory) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.log'))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}
