// `npm run test:v3`: what a caller sees of the real kafka-publisher 3.2.0 from npm (with node-rdkafka overridden by
// one that compiles) and of `kafka-publisher/v3`, side by side on a real Kafka. Prints what differs; fails if it
// differs in anything but what is a known defect of 3.2.0. Then processes of 3.2.0 are replaced one after the other,
// under load, with Kafka going away in between.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { install } from '../bench/installation.mjs'
import { root, runMain, StepFailed } from './command.mjs'
import { setUp } from './setup.mjs'

const require = createRequire(import.meta.url)
const execute = promisify(execFile)
const { upgrade } = require('../__test__/v3/upgrade.js')
const { useService } = require('../__test__/v3/service.js')

/** What may differ, and why. */
const KNOWN = {
  'defaultOptions.connectionString': "there is none; in 3.2.0 it is 'FIXME'",
  'defaultOptions.fallback.instanceId': 'there is none; in 3.2.0 it is a random one',
  'callbacks.number key': 'a number is published as its text; in 3.2.0 each one failed',
  'callbacks.no topic':
    'it is an error; in 3.2.0 all publishers share one set of options, another one had a topic',
  'orders.resetStatistics()': 'it works; in 3.2.0 it throws in its last line',
  'orders.queueMessages()': 'it is there; in 3.2.0 it is documented and missing',
}

/** A leaf of one tree and the same of the other, by its path. */
function* leaves(value, where = []) {
  if (value !== null && typeof value === 'object') {
    for (const name of Object.keys(value)) yield* leaves(value[name], [...where, name])
  } else yield [where.join('.'), value]
}

async function observe(name, { node, module, kafka, nobody, topics }) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'kafka-publisher-v3-'))
  try {
    for (const [suffix, partitions] of [
      ['wire', 10],
      ['callbacks', 1],
    ]) {
      await kafka.createTopic(`${topics}-${suffix}`, { partitions })
    }
    await mkdir(path.join(folder, 'files'))
    const program = path.join(root, '__test__', 'v3', 'program.cjs')
    const args = [program, module, kafka.bootstrap, nobody, folder, topics]
    await execute(node, args, { cwd: folder, maxBuffer: 1 << 26 }).catch((error) => {
      throw new StepFailed(`${name}: ${error.stderr || error.message}`)
    })
    const seen = JSON.parse(await readFile(path.join(folder, 'seen.json'), 'utf8'))
    const service = await observeService({
      node,
      module,
      kafka,
      folder,
      topic: `${topics}-service`,
    })
    return { ...seen, service, messages: await messagesOf(kafka, `${topics}-wire`) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The service of examples/from-v3. */
async function observeService({ node, module, kafka, folder, topic }) {
  await kafka.createTopic(topic, { partitions: 10 })
  const directory = path.join(folder, 'service')
  const seen = await useService({ node, module, bootstrap: kafka.bootstrap, topic, directory })
  return { ...seen, messages: await messagesOf(kafka, topic) }
}

/** Key, value and partition of each message, in one order. */
async function messagesOf(kafka, topic) {
  const { readTopic } = require('../__test__/support/consume.js')
  const read = await readTopic(kafka.bootstrap, topic)
  const texts = read.map(({ key, value, partition }) => `${partition} ${key} ${value}`)
  return Object.fromEntries(texts.sort().map((text) => [text, true]))
}

/** Numbers of statistics that depend on the moment, and texts with times. */
const isVolatile = (where) => /lastStatsReset|lastReset|lastErrorTs|EventError|readySeq/.test(where)

await runMain(async () => {
  await setUp()
  const { node, peers } = await install('20', ['original'])
  const { Kafka } = require('../__test__/support/kafka.js')
  const { freePorts } = require('../__test__/support/ports.js')
  const kafka = await Kafka.start()
  try {
    const nobody = `127.0.0.1:${(await freePorts(1))[0]}`
    const original = createRequire(path.join(peers, 'package.json')).resolve('kafka-publisher')
    const common = { kafka, nobody, node }
    const theirs = await observe('3.2.0', { ...common, module: original, topics: 'theirs' })
    const ours = await observe('v3', {
      ...common,
      module: path.join(root, 'v3.js'),
      topics: 'ours',
    })
    compare(theirs, ours)
    await rollingUpgrade({ node, original, ours: path.join(root, 'v3.js'), kafka })
  } finally {
    await kafka.stop()
  }
})

async function rollingUpgrade(options) {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'kafka-publisher-upgrade-'))
  try {
    const { touched, ...seen } = await upgrade({ ...options, directory })
    console.log('a rolling upgrade, Kafka going away in between: nothing is lost', seen)
    if (touched.length > 0) throw new StepFailed(`files of a living 3.2.0 were touched: ${touched}`)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function compare(theirs, ours) {
  const rename = (text) => (typeof text === 'string' ? text.replace(/^theirs-/, 'ours-') : text)
  const [a, b] = [theirs, ours].map((seen) => new Map(leaves(seen)))
  const rows = []
  let same = 0
  for (const where of new Set([...a.keys(), ...b.keys()])) {
    if (isVolatile(where)) continue
    if (rename(a.get(where)) === b.get(where)) same++
    else {
      const known = Object.keys(KNOWN).find((name) => where.startsWith(name))
      rows.push({ where, '3.2.0': a.get(where), v3: b.get(where), why: known && KNOWN[known] })
    }
  }
  console.log(`${same} are the same, ${rows.length} differ:`)
  console.table(rows)
  const unknown = rows.filter(({ why }) => !why)
  if (unknown.length > 0) throw new StepFailed(`${unknown.length} differences are not known`)
}
