// One run: one contender, one workload, in a process of its own; and whether everything arrived.

import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from '../__test__/support/ports.js'
import { root } from '../scripts/command.mjs'
import { makeMessages } from './messages.mjs'

const execute = promisify(execFile)

const LIMIT = 15 * 60_000
const CHILD = path.join(root, 'bench', 'child.mjs')
export const FLOORS = { librdkafka: {}, 'librdkafka-idempotent': { 'enable.idempotence': true } }

/**
 * @param {object} work a workload, from workloads.mjs
 * @param {string} contender
 * @param {{node: string, peers: string}} runtime
 * @param {{broker: import('./broker.mjs').Broker, floor: string}} outfit
 * @returns {Promise<object>} the task's result. Rejects if the run failed, or a message is missing.
 */
export async function hold(work, contender, runtime, outfit) {
  const folder = await mkdtemp(path.join(tmpdir(), 'kafka-publisher-bench-'))
  const directory = path.join(folder, 'files')
  const settings = { ...work.settings, bytes: work.bytes, directory, peers: runtime.peers }
  const job = { ...work, settings, contender, deadBootstrap: await deadBootstrap() }
  try {
    if (work.place !== 'topic') {
      job.settings.bootstrap = job.deadBootstrap
      job.settings.topic = 'bench'
      return await runChild(runtime.node, job)
    }
    return await onTopic(job, outfit, () =>
      contender in FLOORS ? runFloor(outfit.floor, job, folder) : runChild(runtime.node, job)
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs with a topic, or two, and counts what is in it afterwards. */
function onTopic(job, { broker }, run) {
  job.settings.bootstrap = broker.bootstrap
  return broker.withTopic(job.partitions, (topic) =>
    broker.withTopic(1, async (liveTopic) => {
      job.settings.topic = topic
      job.liveTopic = liveTopic
      const result = await run()
      // JSON.stringify alone sends nothing.
      if (job.contender === 'stringify') return result
      await checkArrived(broker, topic, result.sent)
      await checkArrived(broker, liveTopic, result.liveSent ?? 0)
      return result
    })
  )
}

async function checkArrived(broker, topic, sent) {
  const arrived = await broker.arrived(topic)
  if (arrived !== sent) throw new Error(`${arrived} messages arrived of ${sent}`)
}

async function runChild(node, job) {
  const child = fork(CHILD, [JSON.stringify(job)], { execPath: node, timeout: LIMIT })
  let result
  child.on('message', (message) => {
    result = message
  })
  const [code, signal] = await once(child, 'exit')
  if (code !== 0 || !result) throw new Error(`the process ended with ${signal ?? code}`)
  if (result.error) throw new Error(result.error)
  return result
}

async function runFloor(program, job, folder) {
  const { settings, contender } = job
  const file = path.join(folder, 'messages')
  const lines = makeMessages(job.bytes).map(
    ({ key, value }) => `${key}\t${JSON.stringify(value)}\n`
  )
  await writeFile(file, lines.join(''))
  const options = {
    file,
    topic: settings.topic,
    count: job.messages,
    warmUp: job.warmUp,
    'bootstrap.servers': settings.bootstrap,
    acks: -1,
    'linger.ms': settings.linger,
    'batch.size': settings.batch,
    'compression.codec': settings.codec ?? 'none',
    partitioner: 'murmur2_random',
    ...FLOORS[contender],
  }
  const args = Object.entries(options).map(([name, value]) => `${name}=${value}`)
  const { stdout } = await execute(program, args, { timeout: LIMIT })
  return JSON.parse(stdout)
}

/** An address that nothing listens on. */
async function deadBootstrap() {
  const [port] = await freePorts(1)
  return `127.0.0.1:${port}`
}
