const { serveSharedKafka } = require('./shared-kafka')

module.exports = async () => {
  globalThis.endSharedKafka = await serveSharedKafka()
}
