// When each message was first seen in a fallback file: read as the files grow, asking nobody.

const fs = require('node:fs')
const path = require('node:path')

const EVERY = 25

class FileWatch {
  #directory
  #timer
  /** By path: what is open, how far it was read, and the half line at its end. */
  #files = new Map()
  /** By topic, by number: the time in ms. */
  #seen = new Map()

  constructor(directory) {
    this.#directory = directory
    this.#timer = setInterval(() => this.#look(), EVERY)
  }

  /** @returns {Map<number, number>} when each message of this topic was first seen, by its number */
  of(topic) {
    return this.#seen.get(topic) ?? new Map()
  }

  stop() {
    clearInterval(this.#timer)
    this.#look()
    for (const { fd } of this.#files.values()) fs.closeSync(fd)
    this.#files.clear()
  }

  #look() {
    if (!fs.existsSync(this.#directory)) return
    const names = fs.readdirSync(this.#directory).filter((name) => name.endsWith('.log'))
    for (const name of names) {
      const file = path.join(this.#directory, name)
      if (this.#files.has(file)) continue
      try {
        this.#files.set(file, { fd: fs.openSync(file), offset: 0, rest: Buffer.alloc(0) })
      } catch (error) {
        if (error.code !== 'ENOENT') throw error
      }
    }
    // One that was removed meanwhile is still open here.
    for (const [file, reading] of this.#files) {
      this.#read(reading)
      if (names.includes(path.basename(file))) continue
      fs.closeSync(reading.fd)
      this.#files.delete(file)
    }
  }

  #read(reading) {
    const now = Date.now()
    const buffer = Buffer.alloc(1 << 16)
    for (;;) {
      const length = fs.readSync(reading.fd, buffer, 0, buffer.length, reading.offset)
      if (length === 0) return
      reading.offset += length
      const bytes = Buffer.concat([reading.rest, buffer.subarray(0, length)])
      const end = bytes.lastIndexOf(10) + 1
      reading.rest = bytes.subarray(end)
      for (const line of bytes.subarray(0, end).toString().split('\n')) {
        if (line !== '') this.#note(JSON.parse(line), now)
      }
    }
  }

  #note({ topic, value }, now) {
    if (!this.#seen.has(topic)) this.#seen.set(topic, new Map())
    const times = this.#seen.get(topic)
    if (!times.has(value.n)) times.set(value.n, now)
  }
}

module.exports = { FileWatch }
