// A TCP proxy in front of a broker that can play a network which is slow, swallows packets, or is cut,
// or a broker that does not answer.

const net = require('node:net')
const { once } = require('node:events')

class TcpProxy {
  #server
  #sockets = new Set()
  #swallowing = false
  #silent = false
  #cut = false
  #link
  #heard = performance.now()
  /** How many connections it has taken. */
  connections = 0

  /**
   * @param {string} target `host:port`
   * @param {object} [link] as `slow` takes it
   */
  static async start(target, link) {
    const proxy = new TcpProxy()
    proxy.slow(link)
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
      let last = 0
      from.on('data', (bytes) => {
        this.#heard = performance.now()
        if (this.#swallowing || (this.#silent && from === broker)) return
        const late = this.#late()
        if (late === 0) return to.write(bytes)
        // Never before what came before.
        last = Math.max(last, performance.now() + late)
        setTimeout(() => to.write(bytes), last - performance.now())
      })
      from.on('close', () => {
        if (!this.#swallowing) to.destroy()
      })
    }
    client.resume()
  }

  #late() {
    const { delay, jitter, loss, lostMs } = this.#link
    const lost = Math.random() * 100 < loss ? lostMs : 0
    return delay + jitter * (2 * Math.random() - 1) + lost
  }

  #keep(socket) {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }

  /**
   * What comes from now on takes longer, each way.
   *
   * @param {object} [link]
   * @param {number} [link.delay] milliseconds
   * @param {number} [link.jitter] so much more or less
   * @param {number} [link.loss] per cent of it that take `lostMs` longer
   */
  slow({ delay = 0, jitter = 0, loss = 0, lostMs = 0 } = {}) {
    this.#link = { delay, jitter, loss, lostMs }
  }

  /** For how long nobody has said anything, in milliseconds. */
  get quietFor() {
    return performance.now() - this.#heard
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

  /** All connections are lost, and new ones are refused. */
  async refuse() {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** New connections get through again, after `refuse()`. */
  async accept() {
    const [host, port] = this.address.split(':')
    this.#server.listen(Number(port), host)
    await once(this.#server, 'listening')
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
