// A publisher that nobody refers to any more ends by itself, whatever its own functions refer to.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')
const { makeDirectory, endPublishers, readFallback } = require('./support/publisher')

const run = promisify(execFile)

afterEach(endPublishers)

/** Runs contexts/collected.cjs; resolves with how many publishers of how many were collected. */
async function collect(kind, directory) {
  const script = path.join(__dirname, 'contexts', 'collected.cjs')
  const { stdout } = await run(process.execPath, ['--expose-gc', script, kind, directory])
  return JSON.parse(stdout)
}

test.each([
  'no functions',
  'a logger',
  'a partitioner',
  'a redirection',
  'a logger, ended',
  'a vm context',
])('with %s that can reach it', async (kind) => {
  const directory = makeDirectory()
  expect(await collect(kind, directory)).toEqual({ made: 5, collected: 5 })
  // Each had a message, which was not lost.
  expect(readFallback(directory)).toHaveLength(5)
})
