// What TypeScript lets users write, and what it does not.

import * as api from '@opentelemetry/api'
import { propagation, trace } from '@opentelemetry/api'
import {
  type DiscardedError,
  KafkaPublisher,
  type KafkaPublisherOptions,
  type KafkaPublisherStatistics,
  type Receipt,
} from 'kafka-publisher'
import { instrument } from 'kafka-publisher/opentelemetry'
import { MockCluster, type MockMessage } from 'kafka-publisher/testing'

const options: KafkaPublisherOptions = {
  connectionString: '127.0.0.1:9092,kafka2:9092',
  defaultTopic: 'topic',
  requiredAcks: -1,
  timeout: 30000,
  partitioner: {
    partition: (_topic, partitions, message) => message.key.length % partitions.length,
  },
  retries: { attempts: 7, delay: { min: 100, max: 1000 } },
  batch: { size: 16384, maxWait: 100 },
  codec: 'zstd',
  clientId: 'id',
  ssl: { ca: Buffer.from(''), cert: 'pem', key: 'pem', rejectUnauthorized: true },
  asyncCompression: true,
  brokerRedirection: (host, port) => ({ host: host.toUpperCase(), port: port + 1 }),
  reconnectionDelay: { min: 1000, max: 10000 },
  logger: console,
  retryOptions: {
    retries: null,
    forever: true,
    factor: 2,
    minTimeout: 1,
    maxTimeout: 2,
    randomize: true,
  },
  fallback: { directory: 'dir', retryOptions: { retries: 5 }, fsync: 'always' },
  keyEncoding: 'raw',
  maxBufferedBytes: 1 << 20,
  producer: { 'linger.ms': 5, 'socket.keepalive.enable': true, 'sasl.mechanisms': 'PLAIN' },
}
const publisher = new KafkaPublisher(options)
const connected: Promise<void> = publisher.init()
const room: boolean = publisher.queue('key', { foo: 'bar' })
publisher.queue(5, [1, 2], 'topic')
publisher.queue({ id: 1 }, new Date())
const drained: Promise<void> = publisher.drained()
const statistics: KafkaPublisherStatistics = publisher.getStatistics()
const sent: number = statistics.sentCnt
const last: string | undefined = statistics.lastError
const queued: number = publisher.queued()
publisher.resetStatistics()
const ended: Promise<void> = publisher.end()

// An interface has no index signature.
interface Order {
  total: number
}
const order: Order = { total: 5 }
publisher.queue('key', order)
publisher.queue('key', order, room ? 'topic' : undefined)
const stream: NodeJS.WritableStream = publisher.writable({ topic: 'topic', key: () => 'key' })
process.stdin.pipe(stream)

const typed = new KafkaPublisher<{ orders: Order; users: { name: string } }>(options)
typed.queue('key', { total: 5 }, 'orders')
typed.queue('key', { name: 'x' })
typed.writable({ topic: 'orders', key: ({ total }) => total })
// @ts-expect-error: that is a message of another topic
typed.queue('key', { name: 'x' }, 'orders')
// @ts-expect-error: orders have no such member
typed.queue('key', { total: 5, more: 1 }, 'orders')
// @ts-expect-error: there is no such topic
typed.queue('key', { total: 5 }, 'other')

// @ts-expect-error: a function is no message
publisher.queue('key', () => 1)
// @ts-expect-error: a class is no message
publisher.queue('key', class {})
// @ts-expect-error: a function is no key
publisher.queue(() => 'key', {})
// @ts-expect-error: null is no key
publisher.queue(null, {})
// @ts-expect-error: text is no message
publisher.queue('key', 'message')
// @ts-expect-error: there is no such codec
export const wrong: KafkaPublisherOptions = { connectionString: 'h:1', codec: 'brotli' }

const cluster = new MockCluster({ brokers: 3 })
const messages: Promise<MockMessage[]> = cluster.readTopic('topic')

export const used = [connected, room, drained, sent, last, queued, ended, messages]

publisher.queue(
  'key',
  { a: 1 },
  { topic: 'orders', headers: { a: 'b', c: [new Uint8Array(1), null] } }
)
publisher.queue('key', { a: 1 }, { headers: [['a', 'b']], partition: 0, timestamp: new Date() })
publisher.tombstone('key')
publisher.tombstone(7, 'orders')
publisher.tombstone({ id: 1 }, { topic: 'orders', partition: 1 })
publisher.queueRecord({ topic: 'orders', key: null, value: new Uint8Array(1), timestamp: 5 })
// @ts-expect-error a header is text, bytes or null
publisher.queue('key', { a: 1 }, { headers: { a: 5 } })
// @ts-expect-error a raw value is text, bytes or null
publisher.queueRecord({ value: { a: 1 } })

const receipt: Promise<Receipt> = publisher.publish('key', { a: 1 }, { topic: 'orders' })
receipt.then((it) => (it.outcome === 'kafka' ? it.offset : it.topic))
receipt.catch((error: DiscardedError) => error.code === 'ERR_KAFKA_PUBLISHER_TOO_LARGE')
publisher.publishRecord({ topic: 'orders', value: 'text' })
typed.publish('key', { total: 5 }, 'orders')
// @ts-expect-error that is a message of another topic
typed.publish('key', { name: 'x' }, 'orders')
publisher.queue('key', { a: 1 }, { onDelivery: (error, found) => error?.code ?? found?.topic })
publisher.on('state', (to, from) => to === 'publishing' && from === 'fallingBack')
publisher.once('discard', ({ topic, reason, count }) => `${topic} ${reason} ${count + 1}`)
publisher.off('replayed', ({ file }) => file).removeListener('spill', ({ count }) => count)
// @ts-expect-error there is no such event
publisher.on('error', () => {})
publisher.init({ signal: AbortSignal.timeout(5) }).then(() => publisher.drained({ signal: null }))
publisher.end({ timeoutMs: 500 })
new KafkaPublisher({
  ...options,
  oauthToken: async () => ({ value: 'token', lifetimeMs: 5000, extensions: { a: 'b' } }),
})
instrument(typed, { tracer: trace.getTracer('name'), propagator: propagation, api }).queued()
// @ts-expect-error that is no publisher
instrument({})
