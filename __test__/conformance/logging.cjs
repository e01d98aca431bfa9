const assert = require('assert')
const { publisherOf, startCluster } = require('./support.cjs')

module.exports = {
  'logFunction gets level, client and text of each line': async () => {
    const publisher = publisherOf(startCluster(), { clientId: 'me' })
    await publisher.init()
    publisher.queue(null, {})
    await publisher.end()
    const line = publisher.lines.find(({ level }) => level === 'ERROR')
    assert.strictEqual(line.clientId, 'me')
    assert.ok(/key/.test(line.text))
    assert.ok(publisher.lines.some(({ level }) => level === 'INFO'))
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
    assert.ok(lines.some((line) => /^error .*key/.test(line)))
    assert.ok(lines.some((line) => /^info /.test(line)))
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
