const assert = require('assert')
const support = require('./support.cjs')

const { TOPIC, IMPATIENT, publisherOf, startCluster, linesIn, numbers, sorted, valuesOf } = support

/** Runs leaving.cjs; resolves with how it ended and what reached Kafka or a file. */
async function leave(how) {
  const cluster = startCluster()
  cluster.createTopic(TOPIC)
  const directory = support.makeDirectory()
  const end = await support.runScript('leaving.cjs', [how, cluster.connectionString, directory])
  const found = valuesOf(await cluster.readTopic(TOPIC)).concat(
    linesIn(directory).map(({ value }) => value)
  )
  return Object.assign(end, { found: sorted(Array.from(new Set(found.map(({ i }) => i)))) })
}

module.exports = {
  'end() publishes what is queued, and resolves each time': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster)
    for (const i of numbers(1000)) publisher.queue('key', { i })
    await Promise.all([publisher.end(), publisher.end()])
    await publisher.end()
    assert.strictEqual(publisher.queued(), 0)
    assert.strictEqual(publisher.getStatistics().state, 'ended')
    assert.strictEqual((await cluster.readTopic(TOPIC)).length, 1000)
  },

  'end() in an outage writes what is queued to file': async () => {
    const cluster = startCluster()
    const publisher = publisherOf(cluster, IMPATIENT)
    await publisher.init()
    cluster.brokerDown()
    for (const i of numbers(1000)) publisher.queue('key', { i })
    await publisher.end()
    assert.deepStrictEqual(
      linesIn(publisher.directory).map(({ value }) => value.i),
      numbers(1000)
    )
  },

  'a process that ends without end() waits for its messages': async () => {
    const { code, errors, found } = await leave('by itself')
    assert.deepStrictEqual({ code, errors }, { code: 0, errors: '' })
    assert.deepStrictEqual(found, numbers(1000))
  },

  'process.exit() loses nothing': async () => {
    const { code, found } = await leave('process.exit')
    assert.strictEqual(code, 3)
    assert.deepStrictEqual(found, numbers(1000))
  },

  'an uncaught exception loses nothing': async () => {
    const { code, errors, found } = await leave('exception')
    assert.notStrictEqual(code, 0)
    assert.ok(/thrown on purpose/.test(errors))
    assert.deepStrictEqual(found, numbers(1000))
  },

  'end() in a handler of SIGTERM loses nothing': async () => {
    const { code, found } = await leave('SIGTERM')
    assert.strictEqual(code, 0)
    assert.deepStrictEqual(found, numbers(1000))
  },
}
