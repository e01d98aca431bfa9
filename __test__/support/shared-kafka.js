// One real Kafka for all test files that only publish to it and read from it: started for the first
// of them that asks, ended after the last. Those that stop, freeze or reconfigure a broker have their
// own (kafka.js). Topics have to have names that no other file uses: createTopic fails on them else.
//
// It belongs to jest's own process, of which test files, in their processes, ask where it is.

const { once } = require('node:events')
const http = require('node:http')
const { Topics } = require('./topics')

const ADDRESS = 'KAFKA_PUBLISHER_TEST_KAFKA'

const SETTINGS = {
  tls: true,
  properties: {
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
    // Topics without rules are open to all, so that a test can close one.
    'allow.everyone.if.no.acl.found': true,
  },
}

/** For a test file: resolves with what there is of a `Kafka`, but for its life. */
async function sharedKafka() {
  const response = await fetch(process.env[ADDRESS])
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return Object.assign(new Topics(), answer)
}

/** For jest's globalSetup; resolves with what ends it all. */
async function serveSharedKafka() {
  let starting
  const start = async () => {
    const { Kafka } = require('./kafka')
    return Kafka.start(SETTINGS)
  }
  const server = http.createServer(async (_request, response) => {
    starting ??= start()
    try {
      const { port, bootstrap, tlsBootstrap, certificates, certificateFiles } = await starting
      const answer = { port, bootstrap, tlsBootstrap, certificates, certificateFiles }
      response.end(JSON.stringify(answer))
    } catch (error) {
      response.statusCode = 500
      response.end(JSON.stringify({ error: error.message }))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // Asking must not keep anyone waiting longer than the start takes: it has a limit of its own.
  process.env[ADDRESS] = `http://127.0.0.1:${server.address().port}/`
  return async () => {
    server.close()
    server.closeAllConnections()
    const kafka = await starting?.catch(() => null)
    await kafka?.stop()
  }
}

module.exports = { sharedKafka, serveSharedKafka }
