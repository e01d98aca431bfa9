// Starts processes with a stderr of each kind that a process can be given, and judges how child.js ended.

const { spawn, execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { fallbackLines } = require('./lines')

/** Longer than any wait of the package's own; what is reached is a hang. */
const HANG = 120_000
/** What a process may allocate, in KiB: what is beyond is a bug that would take the machine along. */
const MEMORY = 4 * 1024 * 1024
const PIPE_SIZE = 65_536

/** A pipe that is full and that nobody reads. */
function stalledPipe(directory, flags) {
  const fifo = path.join(directory, 'stderr')
  execFileSync('mkfifo', [fifo])
  const descriptor = fs.openSync(fifo, fs.constants.O_RDWR | flags)
  fs.writeSync(descriptor, Buffer.alloc(PIPE_SIZE, '.'))
  return descriptor
}

/** Kinds of stderr: what `spawn` is given for it, and what is done once the process runs. */
const STREAMS = {
  'stderr that is read': { open: () => 'pipe', after: (stream) => stream.resume() },
  'stderr ignored': { open: () => 'ignore' },
  'stderr closed': { open: () => 'ignore', redirection: '2>&-' },
  'a pipe without a reader': { open: () => 'pipe', after: (stream) => stream.destroy() },
  'a full disk': { open: () => fs.openSync('/dev/full', 'w') },
  'a stalled pipe': { open: (directory) => stalledPipe(directory, 0) },
  'a stalled pipe that does not block': {
    open: (directory) => stalledPipe(directory, fs.constants.O_NONBLOCK),
  },
}

/** @param {string} directory for what has to be made; an empty one */
function openStream(kind, directory) {
  const { open, after = () => {}, redirection = '' } = STREAMS[kind]
  const stderr = open(directory)
  return {
    stderr,
    after,
    redirection,
    /** What a stalled pipe holds now. */
    read() {
      const { O_RDONLY, O_NONBLOCK } = fs.constants
      const reader = fs.openSync(path.join(directory, 'stderr'), O_RDONLY | O_NONBLOCK)
      const buffer = Buffer.alloc(PIPE_SIZE)
      try {
        return buffer.toString('latin1', 0, fs.readSync(reader, buffer))
      } catch (error) {
        if (error.code === 'EAGAIN') return ''
        throw error
      } finally {
        fs.closeSync(reader)
      }
    },
    close() {
      if (typeof stderr === 'number') fs.closeSync(stderr)
    },
  }
}

/** A process of Node.js with such a stderr, and descriptor 3 for what it reports. */
function start({ stderr, after, redirection }, args) {
  const child = spawn(
    'sh',
    ['-c', `ulimit -d ${MEMORY}; exec "$0" "$@" ${redirection}`, process.execPath, ...args],
    { stdio: ['ignore', 'ignore', stderr, 'pipe'], timeout: HANG, killSignal: 'SIGKILL' }
  )
  after(child.stderr)
  return child
}

/**
 * Runs child.js.
 *
 * @returns {Promise<string[]>} what went wrong
 */
async function misuse(seed, kind, directory) {
  const stream = openStream(kind, directory)
  const child = start(stream, [path.join(__dirname, 'child.js'), String(seed), directory])
  let report = ''
  child.stdio[3].on('data', (data) => {
    report += data
  })
  const [code, signal] = await once(child, 'close')
  stream.close()

  const lines = report
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
  const problems = lines.flatMap(({ wrong }) => wrong ?? [])
  if (signal === 'SIGKILL') problems.push('it hung')
  else if (signal) problems.push(`it ended by ${signal}`)
  else if (code !== 0) problems.push(`it ended with ${code}`)
  const last = lines.find(({ standing }) => standing)
  if (!last) problems.push('it did not come to its end')
  for (const { folder, messages, mustBeOnDisk } of last?.standing ?? []) {
    if (!mustBeOnDisk) continue
    const found = fallbackLines(folder)
    if (found < messages) {
      problems.push(`left by '${last.leaving}' with ${messages} messages, ${found} are on disk`)
    }
  }
  return problems
}

module.exports = { misuse, start, openStream, STREAMS }
