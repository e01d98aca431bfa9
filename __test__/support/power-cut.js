// A power cut, as hard as POSIX lets one be: of a file, what was written since its last sync is gone; of
// a directory, every name that was made, changed or removed since its last sync. The library of faults
// writes down what was synced, and keeps what has lost its name.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

class PowerCut {
  static #made = []

  #directory
  #graves = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-graves-'))
  // What is on the disk for certain: the name of each file, and how much of it.
  #names = new Map()
  #sizes = new Map()

  /** @param {string} directory what is in it now is on the disk; the process is started after this */
  constructor(directory) {
    PowerCut.#made.push(this)
    this.#directory = directory
    for (const name of fs.readdirSync(directory)) {
      const { ino, size } = fs.statSync(path.join(directory, name))
      this.#names.set(path.join(directory, name), ino)
      this.#sizes.set(ino, size)
    }
    this.env = { FAULTS_JOURNAL: this.#graves }
  }

  /**
   * What the disk has when the power goes now, after the process is gone.
   *
   * @param {string} target an empty directory for it
   * @param {{removals?: boolean}} [options] `removals`: names that were removed since the last sync are
   *   gone; the disk has chosen to write that first, and nothing else
   */
  cut(target, { removals = false } = {}) {
    const names = new Map(this.#names)
    const sizes = new Map(this.#sizes)
    const contents = this.#contents()
    let pending = []
    for (const { what, inode, path: at, size } of this.#journal()) {
      if (what === 'sync' && at === this.#directory) {
        for (const change of pending) change()
        pending = []
      } else if (what === 'sync') sizes.set(inode, size)
      // What was cut off may be gone at once.
      else if (what === 'write') sizes.set(inode, Math.min(size, sizes.get(inode) ?? 0))
      else if (what === 'unlink' || what === 'from') {
        const remove = () => names.delete(at)
        if (removals && what === 'unlink') remove()
        pending.push(remove)
      } else pending.push(() => names.set(at, inode))
    }
    for (const [at, inode] of names) {
      const content = contents.get(inode)
      // A lock is written over in its place; what it says by then is no matter.
      const size = at.endsWith('.lock') ? content.length : (sizes.get(inode) ?? 0)
      fs.writeFileSync(path.join(target, path.basename(at)), content.subarray(0, size))
    }
  }

  #journal() {
    const file = path.join(this.#graves, 'journal')
    const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n') : []
    return lines.filter(Boolean).map((line) => JSON.parse(line))
  }

  /** By inode: of all files that were ever there. */
  #contents() {
    const contents = new Map()
    for (const directory of [this.#graves, this.#directory]) {
      for (const name of fs.readdirSync(directory)) {
        const at = path.join(directory, name)
        if (fs.statSync(at).isFile()) contents.set(fs.statSync(at).ino, fs.readFileSync(at))
      }
    }
    return contents
  }

  /** For `afterAll`: deletes what was made. */
  static removeAll() {
    for (const cut of PowerCut.#made.splice(0)) fs.rmSync(cut.#graves, { recursive: true })
  }
}

module.exports = { PowerCut }
