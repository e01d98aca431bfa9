// The first steps, against the embedded cluster instead of a real Kafka.
// Run it with `node examples/quick-start.mjs`.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { KafkaPublisher } from 'kafka-publisher'
import { MockCluster } from 'kafka-publisher/testing'

const cluster = new MockCluster({ brokers: 1 })
cluster.createTopic('someTopicName')
const directory = mkdtempSync(path.join(tmpdir(), 'quick-start-'))

const kp = new KafkaPublisher({
  connectionString: cluster.connectionString,
  defaultTopic: 'someTopicName',
  fallback: { directory },
})

// Returns at once; the message is published in the background.
kp.queue('someKey', { foo: 'bar', bar: 'baz' })

// Waits until the message is in Kafka, or else in a file.
await kp.end()

for (const message of await cluster.readTopic('someTopicName')) {
  console.log(`key ${message.key}, value ${message.value}`)
}
const { sentCnt, fallback } = kp.getStatistics()
console.log(`${sentCnt} in Kafka, ${fallback.messages} in files`)

cluster.close()
rmSync(directory, { recursive: true })
if (sentCnt !== 1) process.exitCode = 1
