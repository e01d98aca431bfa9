// A real Apache Kafka under the tests' control: one process, broker and controller in one.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { makeCertificates, writeCertificates } = require('./certificates')
const { withAdmin } = require('./client')
const { installKafka, NODE_ID } = require('./kafka-install')
const { freePorts } = require('./ports')
const { Topics } = require('./topics')

const START_LIMIT = 180_000

// A compiler that starts fast and one thread of garbage collection: these brokers live for seconds
// and share two cores with the tests.
const JVM = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

// Ends what the test process leaves behind, however that ends (jest calls no 'exit' handlers of
// test files, and SIGKILL calls none at all): the kernel closes the pipe that this script reads.
// Each line is the process to kill now, an empty one says that there is none.
const GUARD = `while read -r line; do pid=$line; done
[ -n "$pid" ] && kill -9 "$pid"
rm -rf "$1"`

class Kafka extends Topics {
  #java // the running process, or null
  #guard
  #directory
  #classPath
  #env
  #jvm
  #propertiesFile

  /**
   * @param {object} [options]
   * @param {Record<string, string | number | boolean>} [options.properties] the broker's own
   *   settings; they win over the ones below
   * @param {boolean} [options.tls] a second listener that takes TLS with a client certificate only
   * @param {boolean} [options.oauth] a second listener that takes OAUTHBEARER with any unsecured token
   * @param {Record<string, string>} [options.env] added to the environment of the process
   * @param {string[]} [options.jvm] arguments of `java`, instead of those for a short life
   * @param {number} [options.port] where it listens; another one if it is not given
   */
  static async start({ properties = {}, tls, oauth, env = {}, jvm = JVM, port } = {}) {
    const kafka = new Kafka()
    kafka.#jvm = jvm
    kafka.port = port
    await kafka.#prepare(properties, { tls, oauth }, env)
    await kafka.#launch()
    return kafka
  }

  async #prepare(properties, { tls, oauth }, env) {
    const { classPath, formatted } = await installKafka()
    this.#classPath = classPath
    this.#env = env
    const [port, controllerPort, secondPort] = await freePorts(3)
    this.port ??= port
    this.bootstrap = `127.0.0.1:${this.port}`
    this.#directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-kafka-'))
    this.#startGuard()

    const data = path.join(this.#directory, 'data')
    fs.cpSync(formatted, data, { recursive: true })
    const settings = brokerSettings(this.port, controllerPort, data)
    if (tls) {
      this.tlsPort = secondPort
      this.tlsBootstrap = `127.0.0.1:${secondPort}`
      /** PEM texts: ca, serverCert, serverKey, clientCert, clientKey */
      this.certificates = makeCertificates()
      /** The same as files. */
      this.certificateFiles = writeCertificates(this.certificates, this.#directory)
      addTls(settings, secondPort, this.certificates)
    }
    if (oauth) {
      this.oauthBootstrap = `127.0.0.1:${secondPort}`
      addOauth(settings, secondPort)
    }
    this.#propertiesFile = path.join(this.#directory, 'server.properties')
    fs.writeFileSync(this.#propertiesFile, propertiesText({ ...settings, ...properties }))
  }

  #startGuard() {
    // In a group of its own, so that Ctrl-C reaches the tests and leaves the guard to do its work.
    const options = { stdio: ['pipe', 'ignore', 'ignore'], detached: true }
    this.#guard = spawn('sh', ['-c', GUARD, 'guard', this.#directory], options)
    this.#guard.unref()
    this.#guard.stdin.unref()
  }

  async #launch() {
    const log = fs.openSync(this.#logFile, 'a')
    const java = spawn(
      'java',
      [...this.#jvm, '-cp', this.#classPath, 'kafka.Kafka', this.#propertiesFile],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.#env } }
    )
    fs.closeSync(log)
    // A test that forgets stop() must not hang; what then remains is the guard's.
    java.unref()
    this.#java = java
    this.#guard.stdin.write(`${java.pid ?? ''}\n`)
    const gone = once(java, 'exit').then(
      ([code, signal]) => `ended with ${signal ?? code}`,
      (error) => `could not be started: ${error.message}`
    )
    gone.then(() => {
      if (this.#java === java) this.#java = null
      this.#guard.stdin.write('\n')
    })
    java.gone = gone

    const waiting = new AbortController()
    const failed = await Promise.race([
      gone,
      delay(START_LIMIT, `did not answer within ${START_LIMIT} ms`, { signal: waiting.signal }),
      this.#answers(waiting.signal),
    ])
    waiting.abort()
    if (failed) {
      const lines = fs.readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-30)
      await this.stop()
      throw new Error(`Kafka ${failed}. Its log's last lines:\n${lines.join('\n')}`)
    }
  }

  // Nothing tells from outside that a broker is ready but its answers: a refused connection comes
  // back at once, so asking again is the only way to know.
  async #answers(signal) {
    while (!signal.aborted) {
      const ready = await withAdmin(this.bootstrap, isReady, { retry: { retries: 0 } }).catch(
        () => false
      )
      if (ready) return
      await delay(50)
    }
  }

  get #logFile() {
    return path.join(this.#directory, 'kafka.log')
  }

  /** Ends the process as a crash would, and resolves when it is gone. */
  async kill() {
    const java = this.#java
    if (!java) return
    java.ref()
    java.kill('SIGKILL')
    await java.gone
  }

  /** Starts again, after kill() or instead of it: same ports, same data. */
  async restart() {
    await this.kill()
    await this.#launch()
  }

  /** The process stands still: it accepts connections (the kernel does) and answers nothing. */
  pause() {
    this.#java.kill('SIGSTOP')
  }

  resume() {
    this.#java.kill('SIGCONT')
  }

  /** Ends the process and deletes all that it wrote. */
  async stop() {
    await this.kill()
    if (this.#guard.exitCode !== null) return
    this.#guard.ref()
    this.#guard.stdin.end()
    await once(this.#guard, 'exit')
  }
}

async function isReady(admin) {
  const { brokers } = await admin.describeCluster()
  if (brokers.length === 0) return false
  const { topics } = await admin.fetchTopicMetadata()
  return topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0))
}

function brokerSettings(port, controllerPort, data) {
  return {
    'process.roles': 'broker,controller',
    'node.id': NODE_ID,
    'controller.quorum.voters': `${NODE_ID}@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    'auto.create.topics.enable': false,
    'group.initial.rebalance.delay.ms': 0,
    // A killed broker may register again only when its old session has run out. Shorter than the
    // default (9 s) so that a restart takes 4 s instead of 12, long enough for a busy machine.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 200,
    // One node can hold one replica.
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
  }
}

function addTls(settings, port, { ca, serverCert, serverKey }) {
  settings.listeners += `,SSL://127.0.0.1:${port}`
  settings['advertised.listeners'] += `,SSL://127.0.0.1:${port}`
  settings['listener.security.protocol.map'] += ',SSL:SSL'
  settings['ssl.client.auth'] = 'required'
  settings['ssl.keystore.type'] = 'PEM'
  settings['ssl.keystore.certificate.chain'] = serverCert
  settings['ssl.keystore.key'] = serverKey
  settings['ssl.truststore.type'] = 'PEM'
  settings['ssl.truststore.certificates'] = ca
}

function addOauth(settings, port) {
  settings.listeners += `,SASL_PLAINTEXT://127.0.0.1:${port}`
  settings['advertised.listeners'] += `,SASL_PLAINTEXT://127.0.0.1:${port}`
  settings['listener.security.protocol.map'] += ',SASL_PLAINTEXT:SASL_PLAINTEXT'
  settings['sasl.enabled.mechanisms'] = 'OAUTHBEARER'
  settings['listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config'] =
    'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
}

// Java's .properties format: a backslash and a line break are escaped.
function propertiesText(settings) {
  return Object.entries(settings)
    .map(([name, value]) => {
      const text = String(value).replace(/\\/g, '\\\\').replace(/\r?\n/g, '\\n')
      return `${name}=${text}\n`
    })
    .join('')
}

module.exports = { Kafka, propertiesText }
