// Three real brokers with a controller (or ZooKeeper), each on a host of its own.

const { execFile, execFileSync } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { makeCertificates } = require('../support/certificates')
const { withAdmin } = require('../support/client')
const { installKafka } = require('../support/kafka-install')
const { until } = require('../support/until')
const { Server } = require('./server')

const run = promisify(execFile)

const IDS = [1, 2, 3]
const CONTROLLER = { id: 9, port: 9094 }
const START_LIMIT = 180_000
const DISK = '512m'

/** What all brokers have in common, of any version. */
const SETTINGS = {
  'auto.create.topics.enable': false,
  'default.replication.factor': 3,
  'min.insync.replicas': 2,
  'offsets.topic.replication.factor': 1,
  'offsets.topic.num.partitions': 1,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'transaction.state.log.num.partitions': 1,
  'group.initial.rebalance.delay.ms': 0,
  'log.segment.delete.delay.ms': 1000,
}

class Cluster {
  #classPath

  /**
   * @param {import('./network').Network} network
   * @param {object} [options]
   * @param {string} [options.version] of Kafka; 2.x runs with ZooKeeper
   * @param {boolean} [options.security] a second listener (SASL over TLS) and ACLs
   */
  static async start(network, options = {}) {
    const cluster = new Cluster()
    await cluster.#prepare(network, options)
    const limit = { timeoutMs: START_LIMIT }
    try {
      for (const server of cluster.servers) server.start()
      await cluster.untilWhole(limit)
    } catch (error) {
      const logs = cluster.servers.map((server) => `${server.name}:\n${server.lastLines()}`)
      await cluster.stop()
      throw new Error(`${error.message}\n${logs.join('\n')}`)
    }
    return cluster
  }

  async #prepare(network, { version, security = false }) {
    const { classPath, formatted } = await installKafka(version)
    this.#classPath = classPath
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-cluster-'))
    const zookeeper = version?.startsWith('2.')
    const head = this.#server(network, zookeeper ? 'zookeeper' : 'controller', CONTROLLER.id)
    this.controller = head
    head.settings = zookeeper ? zookeeperSettings(head) : controllerSettings(head)
    if (zookeeper) head.main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain'
    else this.#format(head, formatted)
    const certificates = security && makeCertificates()
    this.ca = certificates?.ca
    this.brokers = IDS.map((id) => {
      const broker = this.#server(network, `broker${id}`, id)
      broker.settings = {
        ...brokerSettings(broker, head, zookeeper),
        ...(security && securitySettings(broker, certificates)),
      }
      this.#mount(broker.data)
      if (!zookeeper) this.#format(broker, formatted)
      return broker
    })
    if (security) Object.assign(head.settings, AUTHORIZER)
    this.servers = [head, ...this.brokers].map((options) => new Server(options))
    ;[this.controller, ...this.brokers] = this.servers
    const list = (port) =>
      this.brokers.map(({ host: { address } }) => `${address}:${port}`).join(',')
    this.bootstrap = list(9092)
    if (security) this.saslBootstrap = list(9093)
  }

  #server(network, name, id) {
    return {
      name,
      id,
      host: network.host(name, 10 + id),
      folder: this.folder,
      data: path.join(this.folder, name),
      classPath: this.#classPath,
      main: 'kafka.Kafka',
    }
  }

  /** A disk of its own, which a scenario can fill. */
  #mount(folder) {
    fs.mkdirSync(folder)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'none', folder])
  }

  /** What the format tool makes, with another number and a name of its own. */
  #format({ id, data }, formatted) {
    fs.cpSync(formatted, data, { recursive: true })
    const file = path.join(data, 'meta.properties')
    const text = fs
      .readFileSync(file, 'utf8')
      .replace(/^node\.id=.*$/m, `node.id=${id}`)
      .replace(
        /^directory\.id=.*$/m,
        `directory.id=A${randomBytes(16).toString('base64url').slice(1)}`
      )
    fs.writeFileSync(file, text)
  }

  /** Calls `use` with an admin client. */
  admin(use) {
    return withAdmin(this.bootstrap, use, { retry: { retries: 2, initialRetryTime: 100 } })
  }

  /**
   * @param {string} topic
   * @param {{partitions?: number, replicas?: number, on?: number[], config?: object}} [options]
   *   `on`: the brokers that have its replicas
   */
  async createTopic(topic, { partitions = 6, replicas = 3, on, config = {} } = {}) {
    const settings = { 'min.insync.replicas': Math.min(2, on?.length ?? replicas), ...config }
    const spread = Array.from({ length: partitions }, (_, partition) => ({
      partition,
      // Led by one after the other.
      replicas: on && [...on.slice(partition % on.length), ...on.slice(0, partition % on.length)],
    }))
    await this.admin((admin) =>
      admin.createTopics({
        waitForLeaders: false,
        topics: [
          {
            topic,
            ...(on
              ? { numPartitions: -1, replicationFactor: -1, replicaAssignment: spread }
              : { numPartitions: partitions, replicationFactor: replicas }),
            configEntries: Object.entries(settings).map(([name, value]) => ({
              name,
              value: String(value),
            })),
          },
        ],
      })
    )
    await this.untilWhole()
  }

  /** Who leads what: `[{topic, partition, leader, isr, replicas}]`. */
  async partitions(topics) {
    const { topics: found } = await this.admin((admin) =>
      admin.fetchTopicMetadata(topics && { topics })
    )
    return found.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionId, ...rest }) => ({
        topic: name,
        partition: partitionId,
        ...rest,
      }))
    )
  }

  /** Resolves when every broker is there and every partition has a leader and all its replicas. */
  async untilWhole({ timeoutMs = 120_000 } = {}) {
    let seen = 'nothing'
    const isWhole = async () => {
      const { brokers } = await this.admin((admin) => admin.describeCluster())
      const lacking = (await this.partitions()).filter(
        ({ leader, isr, replicas }) => leader < 0 || isr.length < replicas.length
      )
      seen = `${brokers.length} brokers, ${lacking.length} partitions that lack something`
      return brokers.length === this.brokers.length && lacking.length === 0
    }
    const failed = (error) => {
      seen = error.message
    }
    await until(() => isWhole().catch(failed), {
      timeoutMs,
      what: () => `a whole cluster; there is: ${seen}`,
    })
  }

  /** Kafka's own tool for settings that no client of ours changes: `--alter`, and what is given. */
  async configure(...args) {
    const tool = ['-XX:TieredStopAtLevel=1', '-cp', this.#classPath, 'kafka.admin.ConfigCommand']
    await run('java', [...tool, '--bootstrap-server', this.bootstrap, '--alter', ...args])
  }

  /** Nothing more can be written to this broker's disk. Returns what frees it again. */
  fill({ settings }) {
    const file = path.join(settings['log.dirs'], 'filler')
    const zeros = Buffer.alloc(1 << 20)
    try {
      for (;;) fs.appendFileSync(file, zeros)
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error
    }
    return () => fs.rmSync(file)
  }

  async setPassword(user, password) {
    const credentials = `SCRAM-SHA-256=[iterations=4096,password=${password}]`
    await this.configure(
      '--entity-type',
      'users',
      '--entity-name',
      user,
      '--add-config',
      credentials
    )
  }

  /** Starts what a scenario has left away, and wakes what it has left paused. */
  async heal() {
    for (const server of this.servers) {
      server.resume()
      if (!server.runs) server.start()
    }
    await this.untilWhole()
  }

  async stop() {
    for (const server of this.servers) server.resume()
    await Promise.all(this.servers.map((server) => server.kill()))
    for (const { settings } of this.brokers) execFileSync('umount', ['-l', settings['log.dirs']])
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

const AUTHORIZER = {
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  'super.users': 'User:ANONYMOUS',
}

function controllerSettings({ id, host, data }) {
  return {
    'process.roles': 'controller',
    'node.id': id,
    'controller.quorum.voters': `${id}@${host.address}:${CONTROLLER.port}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `CONTROLLER://${host.address}:${CONTROLLER.port}`,
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    ...SETTINGS,
  }
}

function zookeeperSettings({ data, host }) {
  fs.mkdirSync(data)
  return { dataDir: data, clientPort: CONTROLLER.port, clientPortAddress: host.address }
}

function brokerSettings({ id, host, data }, head, zookeeper) {
  const coordination = zookeeper
    ? { 'broker.id': id, 'zookeeper.connect': `${head.host.address}:${CONTROLLER.port}` }
    : {
        'process.roles': 'broker',
        'node.id': id,
        'controller.quorum.voters': `${head.id}@${head.host.address}:${CONTROLLER.port}`,
        'controller.listener.names': 'CONTROLLER',
      }
  return {
    ...coordination,
    listeners: `PLAINTEXT://${host.address}:9092`,
    'advertised.listeners': `PLAINTEXT://${host.address}:9092`,
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT${zookeeper ? '' : ',CONTROLLER:PLAINTEXT'}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    ...SETTINGS,
  }
}

function securitySettings({ host }, { ca, serverCert, serverKey }) {
  const jaas = (module, rest = '') =>
    `org.apache.kafka.common.security.${module}LoginModule required ${rest};`
  const at = (port, name) => `${name}://${host.address}:${port}`
  const listeners = `${at(9092, 'PLAINTEXT')},${at(9093, 'SASL_SSL')}`
  const sasl = 'listener.name.sasl_ssl'
  return {
    ...AUTHORIZER,
    listeners,
    'advertised.listeners': listeners,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'sasl.enabled.mechanisms': 'SCRAM-SHA-256,OAUTHBEARER',
    [`${sasl}.scram-sha-256.sasl.jaas.config`]: jaas('scram.Scram'),
    [`${sasl}.oauthbearer.sasl.jaas.config`]: jaas(
      'oauthbearer.OAuthBearer',
      'unsecuredLoginStringClaim_sub="broker"'
    ),
    // Who has authenticated once is asked again.
    'connections.max.reauth.ms': 10_000,
    'ssl.client.auth': 'none',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.certificate.chain': serverCert,
    'ssl.keystore.key': serverKey,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.certificates': ca,
  }
}

module.exports = { Cluster }
