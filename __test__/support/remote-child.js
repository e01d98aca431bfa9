// The other end of remote.js: a publisher that does what it is told by messages.

const path = require('node:path')
const vm = require('node:vm')
const { KafkaPublisher } = require('../..')

const ADDON = path.resolve(__dirname, '../..')
const lines = []
let publisher

function make(options) {
  publisher = new KafkaPublisher({
    logger: { logFunction: (level, _clientId, text) => lines.push({ level, text }) },
    ...options,
  })
}

async function answer({ options, task, args }) {
  if (options) return make(options)
  // The text of a function of the test's own.
  return await vm.runInThisContext(`(${task})`)(
    { publisher, lines, require, addon: ADDON },
    ...args
  )
}

process.on('message', async ({ id, ...question }) => {
  try {
    process.send({ id, result: await answer(question) })
  } catch (error) {
    process.send({ id, error: String(error.stack) })
  }
})
