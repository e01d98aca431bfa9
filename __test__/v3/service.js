// What clients and operators see of the service in examples/from-v3, run with one module or another.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { createInterface } = require('node:readline')

const SERVER = path.resolve(__dirname, '..', '..', 'examples', 'from-v3', 'server.cjs')
const ORDERS = 200
const PAYMENTS = 20

/**
 * @param {object} options
 * @param {string} options.node the program
 * @param {string} [options.module] instead of `kafka-publisher/v3`
 * @param {string} options.bootstrap
 * @param {string} options.topic
 * @param {string} options.directory for its fallback files
 */
async function useService({ node, module, bootstrap, topic, directory }) {
  const env = { ...process.env, KAFKA: bootstrap, TOPIC: topic, FALLBACK: directory, PORT: '0' }
  if (module) env.MODULE = module
  const cwd = path.dirname(SERVER)
  const child = spawn(node, [SERVER], { env, cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = once(child, 'exit')
  const logged = []
  try {
    const port = await new Promise((resolve, reject) => {
      createInterface(child.stdout).on('line', (line) => {
        const parsed = parse(line)
        if (parsed?.port) resolve(parsed.port)
        else if (parsed) logged.push(parsed)
      })
      gone.then(([code]) => reject(new Error(`the service ended with ${code}`)))
    })
    const post = async (where, body) => {
      const response = await fetch(`http://127.0.0.1:${port}${where}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, body: await response.json() }
    }
    const orders = []
    for (let id = 0; id < ORDERS; id++) {
      orders.push(await post('/orders', { id, items: [{ sku: `s-${id}`, count: id % 3 }] }))
    }
    const payments = []
    for (let id = 0; id < PAYMENTS; id++) {
      payments.push(await post('/payments', { id: `p-${id}`, cents: id * 100 }))
    }
    const statistics = await (await fetch(`http://127.0.0.1:${port}/statistics`)).json()
    child.kill('SIGTERM')
    const [code, signal] = await gone
    return {
      orders,
      payments: payments.map(({ status, body }) => [status, Object.keys(body).sort()]),
      statistics: Object.keys(statistics).sort(),
      counts: [statistics.mesgCnt, statistics.pending],
      ended: [code, signal],
      name: logged.every(({ name }) => name === 'orders-service'),
    }
  } finally {
    child.kill('SIGKILL')
  }
}

function parse(line) {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

module.exports = { useService }
