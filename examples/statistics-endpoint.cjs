// The statistics as a REST endpoint: GET reads them, DELETE resets them. It calls itself once and
// ends. Run it with `node examples/statistics-endpoint.cjs`.

const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { KafkaPublisher } = require('kafka-publisher')
const { MockCluster } = require('kafka-publisher/testing')

async function main() {
  const cluster = new MockCluster({ brokers: 1 })
  cluster.createTopic('visits')
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'statistics-endpoint-'))
  const kp = new KafkaPublisher({
    connectionString: cluster.connectionString,
    defaultTopic: 'visits',
    fallback: { directory },
  })

  const server = http.createServer((request, response) => {
    if (request.url !== '/statistics') {
      response.writeHead(404).end()
      return
    }
    if (request.method === 'DELETE') kp.resetStatistics()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(kp.getStatistics()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}/statistics`

  for (let visit = 0; visit < 100; visit++) kp.queue('visitor', { visit })

  const before = await (await fetch(url)).json()
  console.log(`state ${before.state}, queued ${before.queueCnt}, errors ${before.errorCnt}`)
  const after = await (await fetch(url, { method: 'DELETE' })).json()
  console.log(`reset: queued ${after.queueCnt}, last reset ${after.lastReset}`)

  server.close()
  server.closeAllConnections()
  await kp.end()
  cluster.close()
  fs.rmSync(directory, { recursive: true })
  if (before.queueCnt !== 100 || after.queueCnt !== 0) process.exitCode = 1
}

main()
