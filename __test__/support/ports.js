const { randomInt } = require('node:crypto')
const net = require('node:net')

// Below every system's range of ephemeral ports (Linux: 32768 and up). A broker that is killed must
// get its port again when it restarts; meanwhile a port from that range could go to any outgoing
// connection, even to that of a client trying to reconnect to the broker (TCP lets it connect to
// itself).
const FIRST = 10_240
const LAST = 32_000

/** @returns {Promise<number[]>} different ports that nothing listens on, not even each other */
async function freePorts(count) {
  const ports = new Set()
  while (ports.size < count) {
    const port = randomInt(FIRST, LAST)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

const isFree = (port) =>
  new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

module.exports = { freePorts }
