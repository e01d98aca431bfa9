// A TCP proxy in front of a broker that can play a network which swallows packets, or is cut, or a
// broker that does not answer.

const net = require('node:net')
const { once } = require('node:events')

class TcpProxy {
  #server
  #sockets = new Set()
  #swallowing = false
  #silent = false
  #cut = false
  /** How many connections it has taken. */
  connections = 0

  /** @param {string} target `host:port` */
  static async start(target) {
    const proxy = new TcpProxy()
    const [host, port] = target.split(':')
    proxy.#server = net.createServer({ pauseOnConnect: true }, (client) => {
      proxy.#join(client, () => net.connect(Number(port), host))
    })
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    proxy.address = `127.0.0.1:${proxy.#server.address().port}`
    return proxy
  }

  #join(client, connect) {
    this.connections += 1
    this.#keep(client)
    if (this.#cut) {
      client.destroy()
      return
    }
    // Connections made meanwhile are accepted, and never hear a word.
    if (this.#swallowing) return
    const broker = connect()
    this.#keep(broker)
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ]) {
      from.on('data', (bytes) => {
        if (!this.#swallowing && !(this.#silent && from === broker)) to.write(bytes)
      })
      from.on('close', () => {
        if (!this.#swallowing) to.destroy()
      })
    }
    client.resume()
  }

  #keep(socket) {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }

  /** From now on nothing gets through, and nobody is told. */
  swallow() {
    this.#swallowing = true
  }

  /** From now on the broker gets all that it is sent, and nobody hears of it. */
  silence() {
    this.#silent = true
  }

  /** All connections are lost, and new ones, too, as soon as they are made. */
  cut() {
    this.#cut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** New connections get through again; those from before are lost. */
  recover() {
    this.#swallowing = false
    this.#cut = false
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop() {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }
}

module.exports = { TcpProxy }
