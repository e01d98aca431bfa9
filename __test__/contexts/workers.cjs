// Starts worker threads that queue messages, and terminates them, 16 at a time, so many times over.

const { once } = require('node:events')
const path = require('node:path')
const { Worker } = require('node:worker_threads')
const { MockCluster } = require('../../testing')
const { resources, settledResources } = require('./resources.cjs')

const [, , rounds, directory] = process.argv
const AT_ONCE = 16
const PER_WORKER = 20

async function main() {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('topic', { partitions: 1 })
  let started = 0
  const one = async () => {
    const workerData = {
      id: started++,
      count: PER_WORKER,
      connectionString: cluster.connectionString,
      directory,
    }
    const worker = new Worker(path.join(__dirname, 'worker.cjs'), { workerData })
    const [queued] = await once(worker, 'message')
    await worker.terminate()
    return queued
  }
  let queued = 0
  const round = async () => {
    const counts = await Promise.all(Array.from({ length: AT_ONCE }, one))
    queued += counts.reduce((sum, count) => sum + count, 0)
  }
  for (let i = 0; i < Number(rounds) / 2; i++) await round()
  const before = resources()
  for (let i = Math.ceil(Number(rounds) / 2); i < Number(rounds); i++) await round()
  const after = await settledResources(before)
  const published = (await cluster.readTopic('topic')).map(({ value }) => value.toString())
  cluster.close()
  console.log(JSON.stringify({ started, queued, published, before, after }))
}

main()
