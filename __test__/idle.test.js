// What a publisher costs that has nothing to do (Linux: the counts are the kernel's).

const fs = require('node:fs')
const { setTimeout: delay } = require('node:timers/promises')
const { MockCluster } = require('../testing')
const { endRemotes, startRemote } = require('./support/remote')
const { makeDirectory, endPublishers } = require('./support/publisher')
const { until } = require('./support/until')

let cluster
beforeEach(() => {
  cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('t', { partitions: 1 })
})
afterEach(endRemotes)
afterEach(endPublishers)
afterEach(() => cluster.close())

/** How often each of the threads that are ours has been woken so far, by name. */
function wakesOf(pid) {
  const wakes = {}
  for (const id of fs.readdirSync(`/proc/${pid}/task`)) {
    const status = fs.readFileSync(`/proc/${pid}/task/${id}/status`, 'utf8')
    const name = status.match(/^Name:\t(.*)$/m)[1]
    if (!name.startsWith('kafka-')) continue
    wakes[`${name} ${id}`] = Number(status.match(/^voluntary_ctxt_switches:\t(\d+)$/m)[1])
  }
  return wakes
}

test.each([
  ['with replay', {}],
  ['without replay', { replay: false }],
])('%s an idle publisher hardly wakes', async (_name, fallback) => {
  const directory = makeDirectory()
  const remote = await startRemote({
    connectionString: cluster.connectionString,
    defaultTopic: 't',
    fallback: { directory, ...fallback },
  })
  const pid = await remote.run(() => process.pid)
  await remote.queue(0, 10)
  await until(async () => (await remote.statistics()).sentCnt === 10)
  const before = wakesOf(pid)
  expect(Object.keys(before).length).toBeGreaterThan(0)
  await delay(3000)
  const after = wakesOf(pid)
  const counts = Object.keys(after).map((thread) => after[thread] - (before[thread] ?? 0))
  expect(counts.filter((count) => count > 15)).toEqual([])
})
