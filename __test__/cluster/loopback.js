// The network of those who may not make namespaces: all on the loopback interface, each broker behind
// proxies that swallow what they are told to, or pass it on late.

const { TcpProxy } = require('../support/proxy')

// Goes with the test process, whatever ends that.
const PREFIX = ['setpriv', '--pdeathsig', 'KILL']

// What a lost packet costs, as a stream sees it: the time until it is sent again.
const LOST_MS = 300

class Loopback {
  /** By host, its proxies. */
  #proxies = new Map()
  ours = '127.0.0.1'

  host(name, number) {
    if (!this.#proxies.has(name)) this.#proxies.set(name, new Map())
    const proxies = this.#proxies.get(name)
    const address = `127.0.0.${number}`
    const reach = async (port) => {
      if (!proxies.has(port)) proxies.set(port, await TcpProxy.start(`${address}:${port}`))
      return proxies.get(port).address
    }
    return { name, address, prefix: PREFIX, reach }
  }

  async publisher(link) {
    for (const proxy of this.#of(null)) proxy.slow(link && { ...link, lostMs: LOST_MS })
    return { name: null, prefix: PREFIX }
  }

  #of(name) {
    const hosts = name === null ? [...this.#proxies.values()] : [this.#proxies.get(name)]
    return hosts.flatMap((proxies) => [...proxies.values()])
  }

  /** From now on nothing gets through to this host; without a name, to any. */
  drop({ name }) {
    for (const proxy of this.#of(name)) proxy.swallow()
  }

  restore({ name }) {
    for (const proxy of this.#of(name)) proxy.recover()
  }

  /** Of a broker and the publisher. All that comes to a broker comes through its proxies. */
  part({ name }) {
    this.drop({ name })
  }

  meet({ name }) {
    this.restore({ name })
  }

  heal() {
    for (const proxy of this.#of(null)) proxy.slow()
  }

  /** No disk can be mounted; a folder does, which no scenario may fill. */
  mount() {}
  unmount() {}
}

module.exports = { Loopback }
