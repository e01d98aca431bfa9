const assert = require('assert')
const { publisherOf, startCluster, untilLogged } = require('./support.cjs')

module.exports = {
  'logFunction gets level, client and text of each line': async () => {
    const publisher = publisherOf(startCluster(), { clientId: 'me' })
    await publisher.init()
    publisher.queue(null, {})
    await publisher.end()
    const { lines } = publisher
    await untilLogged(lines, ({ level }) => level === 'INFO')
    await untilLogged(lines, ({ level }) => level === 'ERROR')
    const line = lines.find(({ level }) => level === 'ERROR')
    assert.strictEqual(line.clientId, 'me')
    assert.ok(/key/.test(line.text))
  },

  'any logger will do': async () => {
    const lines = []
    const logger = {
      error: (text) => lines.push(`error ${text}`),
      info: (text) => lines.push(`info ${text}`),
    }
    const publisher = publisherOf(startCluster(), { logger })
    await publisher.init()
    publisher.queue(null, {})
    await publisher.end()
    await untilLogged(lines, (line) => /^error .*key/.test(line))
    await untilLogged(lines, (line) => /^info /.test(line))
  },

  'a logger that throws stops nothing': async () => {
    const cluster = startCluster()
    const logger = {
      // stderr gets what it throws; an Error without a stack keeps that short.
      logFunction: () => {
        throw Object.assign(new Error('thrown by the logger of this test'), { stack: '' })
      },
      logLevel: 1,
    }
    const publisher = publisherOf(cluster, { logger })
    publisher.queue(null, {})
    publisher.queue('key', {})
    await publisher.end()
    assert.strictEqual(publisher.getStatistics().sentCnt, 1)
  },
}
