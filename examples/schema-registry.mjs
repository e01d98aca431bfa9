// Avro with a schema registry: a client of it from npm makes the bytes, and queueRecord() sends them as they are.
// Run it with `node examples/schema-registry.mjs`; SCHEMA_REGISTRY is the address of yours, such as
// http://localhost:8081. Without one, the registry of this project's tests is started (Java and Maven fetch it).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { KafkaPublisher } from 'kafka-publisher'
import { MockCluster } from 'kafka-publisher/testing'

const started = process.env.SCHEMA_REGISTRY
  ? undefined
  : await (await import('../__test__/support/schema-registry.js')).default.startRegistry()
const registry = new SchemaRegistry({ host: process.env.SCHEMA_REGISTRY ?? started.url })
const { id } = await registry.register(
  {
    type: SchemaType.AVRO,
    schema: JSON.stringify({
      type: 'record',
      name: 'Payment',
      fields: [
        { name: 'order', type: 'string' },
        { name: 'cents', type: 'long' },
      ],
    }),
  },
  { subject: 'payments-value' }
)

const cluster = new MockCluster({ brokers: 1 })
const directory = mkdtempSync(path.join(tmpdir(), 'schema-registry-'))
const kp = new KafkaPublisher({
  connectionString: cluster.connectionString,
  fallback: { directory },
})

const payment = { order: 'order-1', cents: 995 }
// Once the schema is known, encoding asks nobody: it may be done for each message.
const value = await registry.encode(id, payment)
kp.queueRecord({ topic: 'payments', key: payment.order, value })
await kp.end()

const [message] = await cluster.readTopic('payments')
const decoded = await registry.decode(Buffer.from(message.value))
console.log(`key ${message.key}, ${message.value.length} bytes: ${JSON.stringify(decoded)}`)

cluster.close()
await started?.stop()
rmSync(directory, { recursive: true })
if (decoded.order !== payment.order || Number(decoded.cents) !== payment.cents) process.exitCode = 1
