// A network of one's own (Linux, as root): each broker and the publisher in a namespace, joined by a
// bridge from which each can be unplugged. What is sent to one that is unplugged is lost.
//
// All of it is made inside namespaces that the whole run is in (scripts/cluster.mjs), and goes with it.

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const SUBNET = '10.77.0'
const OURS = `${SUBNET}.1`

/** Where the publisher runs: `near` is a plain link, `far` goes through the relay. */
const NEAR = { name: 'near', number: 100 }
const FAR = { name: 'far', number: 101 }

class Network {
  #hosts = [{ name: null, number: 1 }]
  #relay = null
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-network-'))

  constructor() {
    fs.mkdirSync('/run/netns', { recursive: true })
    // In this run's own mount namespace: the names of its namespaces are nobody else's.
    execFileSync('mount', ['-t', 'tmpfs', 'none', '/run/netns'])
    ip(
      'link set lo up',
      'link add bridge0 type bridge',
      `link set bridge0 address ${mac(1)}`,
      `addr add ${OURS}/24 dev bridge0`,
      'link set bridge0 up'
    )
    this.#join(NEAR)
  }

  /**
   * A host of that name, made when it is asked for first.
   *
   * @param {string} name
   * @param {number} number the last of its address, from 2 to 99
   * @returns {{address: string, prefix: string[], reach: (port: number) => Promise<string>}}
   *   `prefix`: the command that starts another there; `reach`: where others connect to that port
   */
  host(name, number) {
    if (!this.#hosts.some((host) => host.name === name)) this.#join({ name, number })
    return place({ name, number })
  }

  /**
   * Where a publisher is to run.
   *
   * @param {{delay: number, jitter: number, loss: number}} [link] what happens to each packet, each
   *   way: ms, ms, per cent
   */
  async publisher(link) {
    if (!link) return place(NEAR)
    await this.#startRelay(link)
    return place(FAR)
  }

  #join({ name, number }) {
    execFileSync('ip', ['netns', 'add', name])
    ip(
      `link add ${portOf(name)} type veth peer name eth0 netns ${name}`,
      `link set ${portOf(name)} master bridge0`,
      `link set ${portOf(name)} up`
    )
    this.#settle({ name, number })
  }

  #settle(host) {
    inside(
      host.name,
      `link set eth0 address ${mac(host.number)}`,
      'link set lo up',
      'link set eth0 up',
      `addr add ${SUBNET}.${host.number}/24 dev eth0`
    )
    // Behind a router nobody is told that a host is silent; on one link ARP would tell.
    for (const other of this.#hosts) {
      introduce(host, other)
      introduce(other, host)
    }
    this.#hosts.push(host)
  }

  /** From now on no packet reaches this host, or comes from it, and nobody is told. */
  drop({ name }) {
    ip(`link set ${portOf(name)} nomaster`)
  }

  restore({ name }) {
    ip(`link set ${portOf(name)} master bridge0`)
  }

  async #startRelay({ delay, jitter, loss }) {
    await this.endRelay()
    const program = path.join(this.#folder, 'relay')
    if (!fs.existsSync(program)) {
      const source = path.join(__dirname, 'relay.c')
      execFileSync(process.env.CC ?? 'cc', ['-O2', '-Wall', '-o', program, source])
    }
    execFileSync('ip', ['netns', 'add', FAR.name])
    const args = [`/run/netns/${FAR.name}`, portOf(FAR.name), 'eth0', delay, jitter, loss]
    this.#relay = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] })
    const gone = once(this.#relay, 'exit').then(([code, signal]) => {
      throw new Error(`the relay ended with ${signal ?? code}`)
    })
    await Promise.race([once(this.#relay.stdout, 'data'), gone])
    gone.catch(() => {})
    ip(`link set ${portOf(FAR.name)} master bridge0`, `link set ${portOf(FAR.name)} up`)
    this.#settle(FAR)
  }

  /** From now on no packet passes between these two. */
  part(one, other) {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ]) {
      introduce(from, to, NOBODY)
    }
  }

  meet(one, other) {
    introduce(one, other)
    introduce(other, one)
  }

  /** A small disk of its own in this folder. */
  mount(folder, size) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder])
  }

  unmount(folder) {
    execFileSync('umount', ['-l', folder])
  }

  /** Every host is reached again, and the relay is gone. */
  async heal() {
    await this.endRelay()
    for (const host of this.#hosts) {
      if (host.name !== null) this.restore(host)
      for (const other of this.#hosts) if (other !== host) introduce(host, other)
    }
  }

  async endRelay() {
    if (!this.#relay) return
    const gone = once(this.#relay, 'exit')
    this.#relay.kill('SIGKILL')
    await gone
    this.#relay = null
    execFileSync('ip', ['netns', 'del', FAR.name])
    this.#hosts = this.#hosts.filter(({ name }) => name !== FAR.name)
  }
}

const place = ({ name, number }) => {
  const address = `${SUBNET}.${number}`
  const prefix = ['ip', 'netns', 'exec', name]
  return { name, number, address, prefix, reach: async (port) => `${address}:${port}` }
}

/** An address that no host has. */
const NOBODY = '02:00:00:00:ff:ff'

const portOf = (name) => `port-${name}`

const mac = (number) => `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`

function introduce(to, { number }, hardware = mac(number)) {
  const device = to.name === null ? 'bridge0' : 'eth0'
  inside(
    to.name,
    `neigh replace ${SUBNET}.${number} lladdr ${hardware} dev ${device} nud permanent`
  )
}

function ip(...lines) {
  inside(null, ...lines)
}

function inside(name, ...lines) {
  const where = name === null ? [] : ['-n', name]
  execFileSync('ip', [...where, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'inherit'],
  })
}

module.exports = { Network }
