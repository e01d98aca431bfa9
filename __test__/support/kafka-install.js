// Puts the jars of a real Apache Kafka, and a formatted empty data directory, into a cache outside
// the tree: Maven fetches them once a machine, every later test run starts from the cache.

const { execFile } = require('node:child_process')
const fs = require('node:fs/promises')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')

const run = promisify(execFile)

const KAFKA_VERSION = '4.1.0'
const dependenciesOf = (version) => [
  ['org.apache.kafka', 'kafka_2.13', version],
  ['org.apache.kafka', 'kafka-tools', version],
  // Kafka logs through slf4j 1.7; this binding writes the log to stderr without a config file.
  ['org.slf4j', 'slf4j-simple', '1.7.36'],
]
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

const NODE_ID = 1

/**
 * @param {string} [version]
 * @returns {Promise<{classPath: string, formatted: string}>} what `java -cp` takes, and a data
 *   directory to copy (none before 3.3, where ZooKeeper has the metadata): formatting costs a start
 *   of the JVM, and its outcome names neither ports nor paths
 */
async function installKafka(version = KAFKA_VERSION) {
  const cache = path.join(cacheHome(), 'kafka-publisher')
  const home = path.join(cache, `kafka-${version}`)
  if (!(await exists(home))) {
    await fs.mkdir(cache, { recursive: true })
    const making = await fs.mkdtemp(path.join(cache, 'making-'))
    try {
      await copyJars(making, version)
      if (!version.startsWith('2.')) await format(making)
      await moveUnlessThere(making, home)
    } finally {
      await fs.rm(making, { recursive: true, force: true })
    }
  }
  return { classPath: path.join(home, 'libs', '*'), formatted: path.join(home, 'formatted') }
}

async function copyJars(folder, version) {
  const dependencies = dependenciesOf(version).map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
      `<version>${version}</version></dependency>`
  )
  const pom = path.join(folder, 'pom.xml')
  await fs.writeFile(
    pom,
    `<project><modelVersion>4.0.0</modelVersion><groupId>kafka-publisher</groupId>
<artifactId>test-kafka</artifactId><version>1</version>
<dependencies>${dependencies.join('\n')}</dependencies></project>
`
  )
  const libs = path.join(folder, 'libs')
  await run('mvn', ['-B', '-q', '-ntp', '-f', pom, COPY, `-DoutputDirectory=${libs}`], {
    maxBuffer: 1 << 26,
  }).catch((error) => {
    throw new Error(
      `Maven could not fetch Kafka ${version}:\n${error.message}\n${error.stdout ?? ''}`
    )
  })
}

async function format(folder) {
  const data = path.join(folder, 'formatted')
  const properties = path.join(folder, 'format.properties')
  await fs.writeFile(
    properties,
    `process.roles=broker,controller
node.id=${NODE_ID}
controller.quorum.voters=${NODE_ID}@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
log.dirs=${data}
`
  )
  const clusterId = 'kafka-publisher-tests0' // 22 characters of URL-safe base64: a Kafka UUID
  const tool = ['-cp', path.join(folder, 'libs', '*'), 'kafka.tools.StorageTool']
  await run('java', [...tool, 'format', '-t', clusterId, '-c', properties])
}

// Another run may have finished the same work meanwhile; its outcome is as good as ours.
async function moveUnlessThere(from, to) {
  await fs.rename(from, to).catch((error) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

const cacheHome = () => process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')

const exists = (file) =>
  fs.access(file).then(
    () => true,
    () => false
  )

module.exports = { installKafka, KAFKA_VERSION, NODE_ID }
