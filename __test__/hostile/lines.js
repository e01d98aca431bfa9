const fs = require('node:fs')
const path = require('node:path')

/** How many lines the fallback files of a directory have. */
function fallbackLines(directory) {
  if (!fs.existsSync(directory)) return 0
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .map((name) => fs.readFileSync(path.join(directory, name), 'latin1').split('\n').length - 1)
    .reduce((sum, count) => sum + count, 0)
}

module.exports = { fallbackLines }
