// What the numbers were measured on, for those who read them elsewhere.

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { KAFKA_VERSION } from '../__test__/support/kafka-install.js'
import { root } from '../scripts/command.mjs'
import { JVM } from './broker.mjs'
import { readPeers } from './installation.mjs'

const execute = promisify(execFile)

/** @param {{major: string, node: string}[]} runtimes */
export async function describeMachine(runtimes) {
  const [cpu] = os.cpus()
  const { dependencies } = await readPeers()
  return {
    cpu: cpu.model.trim(),
    cores: os.cpus().length,
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release().split('-')[0]} ${os.arch()}`,
    kafka: `${KAFKA_VERSION}, one node, java ${JVM.join(' ')}`,
    java: await firstLine('java', ['-version']),
    commit: await firstLine('git', ['describe', '--always', '--dirty']),
    librdkafka: await librdkafkaVersion(),
    node: Object.fromEntries(
      await Promise.all(
        runtimes.map(async ({ major, node }) => [major, await firstLine(node, ['--version'])])
      )
    ),
    peers: Object.fromEntries(runtimes.map(({ major }) => [major, dependencies[major]])),
  }
}

async function librdkafkaVersion() {
  const lock = await readFile(path.join(root, 'Cargo.lock'), 'utf8')
  return lock.match(/name = "rdkafka-sys"\nversion = ".+\+(.+)"/)[1]
}

async function firstLine(command, args) {
  // java writes to stderr.
  const { stdout, stderr } = await execute(command, args, { cwd: root })
  return `${stdout}${stderr}`.split('\n')[0].trim()
}

/** The same as lines of text. */
export function machineText({ cpu, cores, memoryGb, system, node, peers, ...others }) {
  const lines = [
    `${cpu}, ${cores} cores, ${memoryGb} GB, ${system}`,
    `Kafka ${others.kafka}; ${others.java}`,
    `kafka-publisher at ${others.commit} with librdkafka ${others.librdkafka}`,
  ]
  for (const [major, version] of Object.entries(node)) {
    const list = Object.entries(peers[major]).map((at) => at.join(' '))
    lines.push(`Node.js ${version}: ${list.join(', ')}`)
  }
  return lines.join('\n')
}
