// A process of an earlier version: appends a line to a fallback file whenever it is told to.
//
// node append.js <file> path|handle
//
// `path`: each line by fs.appendFile, as 0.1.x does it; `handle`: through a file that stays open, as
// 3.x does it. Each line on stdin is written to the file, and then its length to stdout.

const fs = require('node:fs')
const readline = require('node:readline')

const [file, how] = process.argv.slice(2)
const target = how === 'handle' ? fs.openSync(file, 'a') : file

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  fs.appendFile(target, `${line}\n`, (error) => {
    if (error) throw error
    console.log(line.length)
  })
})
