// Three real brokers: the quickest scenarios of `npm run test:cluster`, run as that runs them.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')

const PROGRAM = path.resolve(__dirname, '..', 'scripts', 'cluster.mjs')
const LIMIT = 400_000

/** The rows of the named scenarios, also of those that failed. */
async function play(...names) {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [PROGRAM, '--json', ...names],
    { maxBuffer: 1 << 26 }
  ).catch((error) => error)
  if (!stdout) throw new Error(`no scenario was played:\n${stderr}`)
  return JSON.parse(stdout)
}

if (process.platform === 'linux') {
  test(
    'partitions added, a topic made anew, the controller killed: nothing lost, in order, once',
    async () => {
      const names = ['partitions', 'recreated', 'controller']
      const rows = await play(...names)
      expect(rows.map(({ name, failures }) => ({ name, failures }))).toEqual(
        names.map((name) => ({ name, failures: [] }))
      )
    },
    LIMIT
  )
}
