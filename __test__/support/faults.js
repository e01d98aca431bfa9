// Faults of a disk and of a clock in a child process, switched on and off while it runs (Linux).

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const SOURCES = ['faults.c', 'faults-clock.c', 'faults-journal.c'].map((name) =>
  path.join(__dirname, name)
)

// The layout of `struct control` in faults.h: 64-bit numbers, then the text of a suffix.
const KINDS = ['write', 'sync', 'read', 'open', 'unlink', 'rename', 'truncate', 'stat']
const NUMBERS = 6 * 8
const SUFFIX = 96
const FAULT = NUMBERS + SUFFIX
const POINTS = 8 + KINDS.length * FAULT
const SIZE = POINTS + 4 * 8
const HANG = 'hang'

/** The shared library, compiled once by each test file that needs it. */
function compile(directory) {
  const library = path.join(directory, 'faults.so')
  if (!fs.existsSync(library)) {
    const options = ['-O1', '-shared', '-fPIC']
    execFileSync(process.env.CC ?? 'cc', [...options, '-o', library, ...SOURCES, '-ldl'])
  }
  return library
}

/** The switches of one child process; `env` is what that is started with. */
class Faults {
  static #made = []

  #directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-faults-'))
  #file

  /** @param {string} directory faults concern files below it only */
  constructor(directory) {
    Faults.#made.push(this)
    const control = path.join(this.#directory, 'control')
    fs.writeFileSync(control, Buffer.alloc(SIZE))
    this.#file = fs.openSync(control, 'r+')
    this.env = {
      LD_PRELOAD: compile(Faults.#library()),
      FAULTS_CONTROL: control,
      FAULTS_DIRECTORY: directory,
    }
  }

  static #shared
  static #library() {
    Faults.#shared ??= fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-faults-'))
    return Faults.#shared
  }

  /**
   * Calls of this kind fail from now on.
   *
   * @param {string} kind one of KINDS
   * @param {string} error its name: 'EIO'
   * @param {object} [options]
   * @param {string} [options.suffix] only for paths that end like this
   * @param {boolean} [options.half] a write writes half of its bytes before it fails, and tears a line
   * @param {[number, number]} [options.bytes] only reading these bytes of a file fails: from, to
   */
  fail(kind, error, { suffix = '', half = false, bytes: [from, to] = [0, 0] } = {}) {
    const at = 8 + KINDS.indexOf(kind) * FAULT
    const text = Buffer.alloc(SUFFIX)
    text.write(suffix)
    fs.writeSync(this.#file, text, 0, SUFFIX, at + NUMBERS)
    this.#write(at + 8, half ? 1 : 0)
    this.#write(at + 16, from)
    this.#write(at + 24, to)
    this.#write(at, error === HANG ? -1 : os.constants.errno[error])
  }

  /** Calls of this kind do not return from now on, until they are healed. Options as for `fail`. */
  hang(kind, options) {
    this.fail(kind, HANG, options)
  }

  /** Calls of this kind succeed again. */
  heal(kind) {
    this.#write(8 + KINDS.indexOf(kind) * FAULT, 0)
  }

  /** How many calls of this kind have failed. */
  hits(kind) {
    return this.#read(8 + KINDS.indexOf(kind) * FAULT + 32)
  }

  /** How many calls of this kind there were, for paths with the suffix that was last given. */
  calls(kind) {
    return this.#read(8 + KINDS.indexOf(kind) * FAULT + 40)
  }

  /** The process dies before its `at`th call on the directory, whatever that is. */
  killAt(at) {
    this.#write(POINTS + 8, at)
  }

  /** Its `at`th call on the directory fails with EIO. */
  failAt(at) {
    this.#write(POINTS + 16, at)
  }

  /** The process dies in the midst of its `at`th write, half of which is done. */
  tearAt(at) {
    this.#write(POINTS + 24, at)
  }

  /** How many calls on the directory there were. */
  points() {
    return this.#read(POINTS)
  }

  /** Sets the child's wall clock ahead by this much (or back). */
  setClock(ms) {
    this.#write(0, ms)
  }

  #write(at, number) {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(number))
    fs.writeSync(this.#file, bytes, 0, 8, at)
  }

  #read(at) {
    const bytes = Buffer.alloc(8)
    fs.readSync(this.#file, bytes, 0, 8, at)
    return Number(bytes.readBigInt64LE())
  }

  /** For `afterAll`: deletes what was made. */
  static removeAll() {
    for (const faults of Faults.#made.splice(0)) {
      fs.closeSync(faults.#file)
      fs.rmSync(faults.#directory, { recursive: true, force: true })
    }
    if (Faults.#shared) fs.rmSync(Faults.#shared, { recursive: true, force: true })
    Faults.#shared = undefined
  }
}

module.exports = { Faults }
