// A producer that is faster than Kafka: it waits when queue() returns false, so that nothing has
// to spill to the fallback file. Run it with `node examples/back-pressure.mjs`.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { KafkaPublisher } from 'kafka-publisher'
import { MockCluster } from 'kafka-publisher/testing'

const MESSAGES = 50_000

const cluster = new MockCluster({ brokers: 1 })
cluster.createTopic('rows')
const directory = mkdtempSync(path.join(tmpdir(), 'back-pressure-'))

const kp = new KafkaPublisher({
  connectionString: cluster.connectionString,
  defaultTopic: 'rows',
  // Little memory, so that it is soon nearly full.
  maxBufferedBytes: 4 * 1024 * 1024,
  fallback: { directory },
})
await kp.init()

let waits = 0
for (let row = 0; row < MESSAGES; row++) {
  if (!kp.queue(row, { row, text: 'some text' })) {
    waits++
    await kp.drained()
  }
}
await kp.end()

const { sentCnt, spilledCnt, discardedCnt } = kp.getStatistics()
console.log(`waited ${waits} times`)
console.log(`${sentCnt} in Kafka, ${spilledCnt} spilled to file, ${discardedCnt.total} discarded`)

cluster.close()
rmSync(directory, { recursive: true })
if (sentCnt !== MESSAGES) process.exitCode = 1
