const { Kafka, logLevel } = require('kafkajs')

// Rare in the tests, so that a refused connection is told at once and not after kafkajs's minutes.
const RETRY = { initialRetryTime: 100, maxRetryTime: 500, retries: 5 }

/** A kafkajs client that logs nothing: the tests speak through what they assert. */
function kafkajsClient(bootstrap, options = {}) {
  return new Kafka({
    clientId: 'kafka-publisher-tests',
    brokers: bootstrap.split(','),
    logLevel: logLevel.NOTHING,
    connectionTimeout: 3000,
    retry: RETRY,
    ...options,
  })
}

/** Calls `use` with a connected admin client, and disconnects it whatever happens. */
async function withAdmin(bootstrap, use, options) {
  const admin = kafkajsClient(bootstrap, options).admin()
  try {
    await admin.connect()
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

module.exports = { kafkajsClient, withAdmin, RETRY }
