// Three real brokers: the quickest scenarios of `npm run test:cluster`, run as that runs them.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')

const PROGRAM = path.resolve(__dirname, '..', 'scripts', 'cluster.mjs')
const LIMIT = 900_000

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
    'partitions added, a topic made anew, the controller killed: nothing is lost, or out of order',
    async () => {
      const names = ['partitions', 'recreated', 'controller']
      const rows = await play(...names)
      // How long anything takes is for test:cluster to judge, which has the machine for itself.
      for (const { name, messages, lost, left, unordered, unaccounted, failures } of rows) {
        const told = {
          name,
          lost,
          left,
          unordered,
          unaccounted,
          failures: messages ? [] : failures,
        }
        const nothing = { lost: 0, left: 0, unordered: 0, unaccounted: 0, failures: [] }
        expect(told).toEqual({ name, ...nothing })
      }
      expect(rows.map(({ name }) => name)).toEqual(names)
    },
    LIMIT
  )
}
