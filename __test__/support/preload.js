const { execFileSync } = require('node:child_process')
const path = require('node:path')

/**
 * Compiles a C file of this folder into the directory (Linux).
 *
 * @returns {Record<string, string>} the environment of a process that loads it before all else
 */
function preload(name, directory) {
  const library = path.join(directory, `${name}.so`)
  const source = path.join(__dirname, `${name}.c`)
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'])
  return { LD_PRELOAD: library }
}

module.exports = { preload }
