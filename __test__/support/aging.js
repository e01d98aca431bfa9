// Time passes.

const fs = require('node:fs')

/** A file looks as if nobody had touched it for 11 minutes. */
function makeOld(file) {
  const time = Date.now() / 1000 - 11 * 60
  fs.utimesSync(file, time, time)
}

module.exports = { makeOld }
