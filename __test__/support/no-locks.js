const { execFileSync } = require('node:child_process')
const path = require('node:path')

/** Compiles no-locks.c into the directory. Returns the environment of a process that has no locks. */
function withoutLocks(directory) {
  const library = path.join(directory, 'no-locks.so')
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, path.join(__dirname, 'no-locks.c')])
  return { LD_PRELOAD: library }
}

module.exports = { withoutLocks }
