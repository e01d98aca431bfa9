// Three real brokers with a controller (or ZooKeeper), each on a host of its own.

const { execFile } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { makeCertificates } = require('../support/certificates')
const { withAdmin } = require('../support/client')
const { propertiesText } = require('../support/kafka')
const { installKafka } = require('../support/kafka-install')
const { freePorts } = require('../support/ports')
const { until } = require('../support/until')
const { Server } = require('./server')

const run = promisify(execFile)

const IDS = [1, 2, 3]
const CONTROLLER_ID = 9
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
  #network
  #classPath
  #jvm = []

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
    this.#network = network
    this.#classPath = classPath
    // Not Kafka's usual ones: on a loopback interface those may be another's.
    const [plain, sasl, control] = await freePorts(3)
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-cluster-'))
    const zookeeper = version?.startsWith('2.')
    if (zookeeper) this.#jvm = [this.#writeLog4j()]
    const head = this.#server(zookeeper ? 'zookeeper' : 'controller', CONTROLLER_ID)
    if (zookeeper) head.main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain'
    head.settings = zookeeper ? zookeeperSettings(head, control) : controllerSettings(head, control)
    if (security) Object.assign(head.settings, AUTHORIZER)
    if (!zookeeper) this.#format(head, formatted)
    const certificates = security && makeCertificates()
    this.ca = certificates?.ca
    const brokers = []
    for (const id of IDS) {
      const broker = this.#server(`broker${id}`, id)
      const reach = await Promise.all([plain, sasl].map((port) => broker.host.reach(port)))
      broker.settings = {
        ...brokerSettings(broker, head, { zookeeper, plain, control, reach }),
        ...(security && securitySettings(broker, certificates, { plain, sasl, reach })),
      }
      broker.reach = reach
      network.mount(broker.data, DISK)
      if (!zookeeper) this.#format(broker, formatted)
      brokers.push(broker)
    }
    this.bootstrap = brokers.map(({ reach: [at] }) => at).join(',')
    if (security) this.saslBootstrap = brokers.map(({ reach: [, at] }) => at).join(',')
    this.servers = [head, ...brokers].map((options) => new Server(options))
    ;[this.controller, ...this.brokers] = this.servers
  }

  /** Kafka 2.x logs nothing without it. */
  #writeLog4j() {
    const file = path.join(this.folder, 'log4j.properties')
    const settings = {
      'log4j.rootLogger': 'WARN, stderr',
      'log4j.appender.stderr': 'org.apache.log4j.ConsoleAppender',
      'log4j.appender.stderr.target': 'System.err',
      'log4j.appender.stderr.layout': 'org.apache.log4j.SimpleLayout',
    }
    fs.writeFileSync(file, propertiesText(settings))
    return `-Dlog4j.configuration=file:${file}`
  }

  #server(name, id) {
    const data = path.join(this.folder, name)
    fs.mkdirSync(data)
    return {
      name,
      id,
      host: this.#network.host(name, 10 + id),
      folder: this.folder,
      data,
      classPath: this.#classPath,
      main: 'kafka.Kafka',
      jvm: this.#jvm,
    }
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
    const ask = () => this.admin((admin) => admin.fetchTopicMetadata(topics && { topics }))
    // A broker may not have heard yet of what its controller has just made.
    const { topics: found } = await until(() => ask().catch(() => null), {
      what: 'metadata of the topics',
    })
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

  /** From its next start on, this broker is at another port than the one that it was known by. */
  async move(broker) {
    const [port] = await freePorts(1)
    const [before] = broker.reach
    const after = await broker.host.reach(port)
    const own = broker.settings.listeners.match(/^PLAINTEXT:\/\/([^,]+)/)[1]
    const change = (name, from, to) => {
      broker.settings[name] = broker.settings[name].replace(from, to)
    }
    change('listeners', own, `${broker.host.address}:${port}`)
    change('advertised.listeners', before, after)
    broker.reach[0] = after
    this.bootstrap = this.brokers.map(({ reach: [at] }) => at).join(',')
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
    for (const { settings } of this.brokers) this.#network.unmount(settings['log.dirs'])
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

const AUTHORIZER = {
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  'super.users': 'User:ANONYMOUS',
}

function controllerSettings({ id, host, data }, control) {
  return {
    'process.roles': 'controller',
    'node.id': id,
    'controller.quorum.voters': `${id}@${host.address}:${control}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `CONTROLLER://${host.address}:${control}`,
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    ...SETTINGS,
  }
}

const zookeeperSettings = ({ data, host }, control) => ({
  dataDir: data,
  clientPort: control,
  clientPortAddress: host.address,
  'admin.enableServer': false,
})

function brokerSettings({ id, host, data }, head, { zookeeper, plain, control, reach }) {
  const coordination = zookeeper
    ? {
        'broker.id': id,
        'zookeeper.connect': `${head.host.address}:${control}`,
        // A broker that finds none in time ends; both start at once, on a machine that may be busy.
        'zookeeper.connection.timeout.ms': START_LIMIT,
      }
    : {
        'process.roles': 'broker',
        'node.id': id,
        'controller.quorum.voters': `${head.id}@${head.host.address}:${control}`,
        'controller.listener.names': 'CONTROLLER',
      }
  const protocols = `PLAINTEXT:PLAINTEXT${zookeeper ? '' : ',CONTROLLER:PLAINTEXT'}`
  return {
    ...coordination,
    listeners: `PLAINTEXT://${host.address}:${plain}`,
    'advertised.listeners': `PLAINTEXT://${reach[0]}`,
    'listener.security.protocol.map': protocols,
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    ...SETTINGS,
  }
}

function securitySettings({ host }, { ca, serverCert, serverKey }, { plain, sasl, reach }) {
  const jaas = (module, rest = '') =>
    `org.apache.kafka.common.security.${module}LoginModule required ${rest};`
  const listener = 'listener.name.sasl_ssl'
  return {
    ...AUTHORIZER,
    listeners: `PLAINTEXT://${host.address}:${plain},SASL_SSL://${host.address}:${sasl}`,
    'advertised.listeners': `PLAINTEXT://${reach[0]},SASL_SSL://${reach[1]}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'sasl.enabled.mechanisms': 'SCRAM-SHA-256,OAUTHBEARER',
    [`${listener}.scram-sha-256.sasl.jaas.config`]: jaas('scram.Scram'),
    [`${listener}.oauthbearer.sasl.jaas.config`]: jaas(
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
