// Traces with the real SDK, and a consumer that goes on with them. In processes of their own: the SDK patches
// what is loaded.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')
const { TcpProxy } = require('./support/proxy')
const { makeDirectory, endPublishers } = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')

const run = promisify(execFile)

let kafka
beforeAll(async () => {
  kafka = await sharedKafka()
})
afterEach(endPublishers)

/** Runs `body` with the SDK set up; resolves with what it printed. */
async function traced(values, body) {
  const script = `
    const { context, trace, propagation, SpanKind } = require('@opentelemetry/api')
    const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
    const { W3CTraceContextPropagator } = require('@opentelemetry/core')
    const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base')
    const exporter = new InMemorySpanExporter()
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    propagation.setGlobalPropagator(new W3CTraceContextPropagator())
    trace.setGlobalTracerProvider(provider)
    const tracer = trace.getTracer('test')
    const { KafkaPublisher } = require('kafka-publisher')
    const { instrument } = require('kafka-publisher/opentelemetry')
    const { MockCluster } = require('kafka-publisher/testing')
    const values = ${JSON.stringify(values)}
    const spans = () => exporter.getFinishedSpans().map((span) => ({
      name: span.name, kind: span.kind, attributes: span.attributes, status: span.status,
      traceId: span.spanContext().traceId, spanId: span.spanContext().spanId,
      parentId: span.parentSpanContext && span.parentSpanContext.spanId,
      links: span.links.map(({ context }) => context.spanId),
    }))
    const print = (value) => console.log(JSON.stringify(value))
    ;(async () => { ${body} })()
  `
  const { stdout } = await run(process.execPath, ['-e', script], {
    cwd: path.resolve(__dirname, '..'),
    maxBuffer: 1 << 26,
  })
  return JSON.parse(stdout)
}

test('each message has a span of its own, and the context in its headers', async () => {
  const { spans, messages, parent } = await traced(
    { directory: makeDirectory() },
    `
    const cluster = new MockCluster({ brokers: 1 })
    const kp = new KafkaPublisher({
      connectionString: cluster.connectionString, defaultTopic: 't', clientId: 'me',
      logger: { logLevel: 0 }, fallback: { directory: values.directory },
    })
    instrument(kp, { tracer })
    const parent = tracer.startSpan('request')
    await context.with(trace.setSpan(context.active(), parent), async () => {
      kp.queue('a', { n: 1 })
      await kp.publish('b', { n: 2 }, { topic: 'u', headers: { own: 'x', traceparent: 'mine' } })
      kp.tombstone('c', 'u')
      await kp.publishRecord({ topic: 'u', value: 'n 4' })
      kp.queue('d', 5)
      await kp.publish('e', {}, 'a b').catch(() => {})
    })
    kp.queueRecord(5)
    await kp.end()
    await new Promise(setImmediate)
    const messages = [...(await cluster.readTopic('t')), ...(await cluster.readTopic('u'))]
    print({ spans: spans(), parent: parent.spanContext().spanId, messages: messages.map(({ value, headers }) => [value && String(value), Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, String(text)]))]) })
    cluster.close()
  `
  )
  const of = (key) =>
    spans.find(({ attributes }) => attributes['messaging.kafka.message.key'] === key)
  expect(spans).toHaveLength(6)
  expect(spans.every(({ kind, parentId }) => kind === 3 && parentId === parent)).toBe(true)
  expect(of('a')).toMatchObject({
    name: 'send t',
    attributes: {
      'messaging.system': 'kafka',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 't',
      'messaging.client.id': 'me',
      'messaging.destination.partition.id': expect.stringMatching(/^\d+$/),
      'messaging.kafka.offset': 0,
      'kafka_publisher.outcome': 'kafka',
    },
    status: { code: 0 },
  })
  expect(of('c').attributes['messaging.kafka.message.tombstone']).toBe(true)
  expect(of('d')).toMatchObject({
    attributes: { 'error.type': 'ERR_KAFKA_PUBLISHER_BAD_VALUE' },
    status: { code: 2 },
  })
  expect(of('e')).toMatchObject({ attributes: { 'error.type': 'ERR_KAFKA_PUBLISHER_BAD_TOPIC' } })
  const headersOf = (text) => messages.find(([value]) => value === text)[1]
  expect(headersOf('{"n":1}').traceparent).toBe(`00-${of('a').traceId}-${of('a').spanId}-01`)
  expect(headersOf('{"n":2}')).toEqual({ own: 'x', traceparent: 'mine' })
  expect(headersOf('n 4').traceparent).toMatch(/^00-/)
})

test('a tracer or propagator that throws keeps no message back', async () => {
  const messages = await traced(
    { directory: makeDirectory() },
    `
    const cluster = new MockCluster({ brokers: 1 })
    const options = { connectionString: cluster.connectionString, defaultTopic: 't', fallback: { directory: values.directory } }
    const fail = () => { throw new Error('tracing is broken') }
    const first = instrument(new KafkaPublisher(options), { tracer: { startSpan: fail } })
    const second = instrument(new KafkaPublisher(options), { propagator: { inject: fail } })
    const third = instrument(new KafkaPublisher(options), { tracer: { startSpan: () => ({ end: fail, setAttribute: fail, spanContext: fail }) } })
    for (const kp of [first, second, third]) {
      kp.queue('key', { n: 1 })
      await kp.publish('key', { n: 2 })
      await kp.end()
    }
    print((await cluster.readTopic('t')).length)
    cluster.close()
  `
  )
  expect(messages).toBe(6)
})

test('a consumer goes on with the trace, live and after an outage', async () => {
  const topic = 'traces'
  await kafka.createTopic(topic)
  const proxy = await TcpProxy.start(kafka.bootstrap)
  const values = {
    bootstrap: kafka.bootstrap,
    proxy: proxy.address,
    topic,
    directory: makeDirectory(),
  }
  proxy.cut()
  const filing = traced(
    values,
    `
    const kp = new KafkaPublisher({
      connectionString: values.proxy, defaultTopic: values.topic, retries: { attempts: 1 },
      fallback: { directory: values.directory }, logger: { logLevel: 0 },
    })
    instrument(kp, { tracer })
    await kp.publish('key', { n: 1 })
    await kp.end()
    print(spans())
  `
  )
  const [filed] = await filing
  await proxy.stop()
  expect(filed.attributes['kafka_publisher.outcome']).toBe('file')

  const spans = await traced(
    values,
    `
    const { registerInstrumentations } = require('@opentelemetry/instrumentation')
    const { KafkaJsInstrumentation } = require('@opentelemetry/instrumentation-kafkajs')
    registerInstrumentations({ instrumentations: [new KafkaJsInstrumentation()] })
    const { Kafka, logLevel } = require('kafkajs')
    const kp = new KafkaPublisher({
      connectionString: values.bootstrap, defaultTopic: values.topic,
      fallback: { directory: values.directory }, logger: { logLevel: 0 },
    })
    instrument(kp, { tracer })
    await kp.publish('key', { n: 2 })
    const consumer = new Kafka({ brokers: [values.bootstrap], logLevel: logLevel.NOTHING }).consumer({ groupId: 'traces' })
    await consumer.connect()
    await consumer.subscribe({ topic: values.topic, fromBeginning: true })
    let seen = 0
    await new Promise((resolve) => consumer.run({ eachMessage: async () => { if (++seen === 2) setImmediate(resolve) } }))
    await consumer.disconnect()
    await kp.end()
    print(spans())
  `
  )
  const [sent] = spans.filter(({ name }) => name === `send ${topic}`)
  const consumed = spans.filter(({ kind }) => kind === 4)
  for (const producer of [filed, sent]) {
    const follows = ({ traceId, parentId, links }) =>
      (traceId === producer.traceId && parentId === producer.spanId) ||
      links.includes(producer.spanId)
    expect(consumed.filter(follows).length).toBeGreaterThanOrEqual(1)
  }
})
