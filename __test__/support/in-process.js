// Programs that are tried in a process of their own, because of what they do to it.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')
const { makeDirectory } = require('./publisher')

const run = promisify(execFile)
const ROOT = path.resolve(__dirname, '..', '..')

/** Runs `body` in a process of its own, with the package at hand; resolves with what it printed, and stderr. */
async function inProcess(body, flags = []) {
  const script = `
    const { KafkaPublisher } = require(${JSON.stringify(ROOT)})
    const { MockCluster } = require(${JSON.stringify(path.join(ROOT, 'testing.js'))})
    const directory = ${JSON.stringify(makeDirectory())}
    const options = { connectionString: '127.0.0.1:1', defaultTopic: 't', retries: { attempts: 1 }, fallback: { directory } }
    const print = (value) => console.log(JSON.stringify(value))
    ;(async () => { ${body} })()
  `
  const { stdout, stderr } = await run(process.execPath, [...flags, '-e', script], {
    maxBuffer: 1 << 28,
  })
  return { printed: JSON.parse(stdout || 'null'), stderr }
}

module.exports = { inProcess }
