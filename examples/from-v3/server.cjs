// A service as it was written for kafka-publisher 3.2.0. Nothing but the module's name is another one; MODULE is for
// the test that runs it with the real 3.2.0, too.
// Run it with `node examples/from-v3/server.cjs`; KAFKA is a list of brokers, PORT where it listens.

const express = require('express')
const { KafkaPublisher } = require(process.env.MODULE || 'kafka-publisher/v3')

const publisher = new KafkaPublisher({
  defaultTopic: process.env.TOPIC || 'orders',
  producer: { 'metadata.broker.list': process.env.KAFKA || '127.0.0.1:9092' },
  fallback: { directory: process.env.FALLBACK || 'kafkaFallbackLogs' },
  logging: { name: 'orders-service', level: 'info' },
})

const app = express()
app.use(express.json())

app.post('/orders', (request, response) => {
  const order = Object.assign({ receivedBy: 'orders-service' }, request.body)
  // The caller does not wait for Kafka.
  publisher.queue(String(order.id), order)
  response.status(202).json({ accepted: order.id })
})

app.post('/payments', (request, response) => {
  publisher.queue(String(request.body.id), request.body, null, (error, report) => {
    if (error) response.status(503).json({ error: 'not in Kafka yet' })
    else response.status(201).json({ partition: report.partition, topic: report.topic })
  })
})

app.get('/statistics', (_request, response) => {
  response.json(Object.assign({ pending: publisher.pending() }, publisher.getStatistics()))
})

publisher.init().then(() => {
  const server = app.listen(Number(process.env.PORT) || 0, '127.0.0.1', () => {
    console.log(JSON.stringify({ port: server.address().port }))
  })

  process.on('SIGTERM', () => {
    server.close(() => {
      publisher.shutdown().then(() => process.exit(0))
    })
  })
})
