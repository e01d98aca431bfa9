// The platform that this machine's build of the addon is for, as its file is named.

const fs = require('node:fs')
const path = require('node:path')

const [platform] = fs
  .readdirSync(path.resolve(__dirname, '..', '..'))
  .map((name) => /^kafka-publisher\.(.+)\.node$/.exec(name)?.[1])
  .filter((name) => name?.startsWith(`${process.platform}-${process.arch}`))

module.exports = platform
