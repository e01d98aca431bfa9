// A rolling upgrade: processes of 3.2.0 on one fallback directory are replaced by those of `kafka-publisher/v3`, one
// after the other, under load, with Kafka going away in between.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { makeOld } = require('../support/aging')
const { readTopic } = require('../support/consume')
const { until } = require('../support/until')

const PROGRAM = path.join(__dirname, 'upgrade.cjs')

class Process {
  constructor(id, { node, module, kafka, directory, topic }) {
    this.id = id
    const args = [module, kafka.bootstrap, directory, topic, id]
    this.child = fork(PROGRAM, args, { execPath: node, cwd: directory })
    this.started = once(this.child, 'message')
  }

  /** Resolves with how many messages it has queued, when all of them are in Kafka or in files. */
  async stop() {
    const told = once(this.child, 'message')
    this.child.send('stop')
    const [{ queued }] = await told
    return queued
  }
}

/** Files of 3.2.0, by path, with what tells whether somebody has touched them. */
function oldFiles(directory) {
  const files = new Map()
  for (const folder of fs.readdirSync(directory)) {
    if (!/^\d{8}$/.test(folder)) continue
    for (const name of fs.readdirSync(path.join(directory, folder))) {
      const file = path.join(directory, folder, name)
      if (name.endsWith('.fallback.log')) files.set(file, fs.statSync(file))
    }
  }
  return files
}

/**
 * @param {object} options
 * @param {string} options.node the program
 * @param {string} options.original path of 3.2.0
 * @param {string} options.ours path of `kafka-publisher/v3`
 * @param {object} options.kafka a `Kafka` of its own, which is killed and started again
 * @param {string} options.directory for the fallback files
 */
async function upgrade({ node, original, ours, kafka, directory }) {
  const topic = 'upgrade'
  await kafka.createTopic(topic, { partitions: 3 })
  const make = (id, module) => new Process(id, { node, module, kafka, directory, topic })
  const queued = {}
  const replace = async (old, id) => {
    queued[old.id] = await old.stop()
    const next = make(id, ours)
    await next.started
    return next
  }
  const [a, b, c] = ['a-3', 'b-3', 'c-3'].map((id) => make(id, original))
  await Promise.all([a, b, c].map((one) => one.started))
  await delay(3000)
  const a4 = await replace(a, 'a-4')
  await delay(1000)
  await kafka.kill()
  await delay(5000)
  const b4 = await replace(b, 'b-4')
  const before = oldFiles(directory)
  if (before.size === 0) throw new Error('3.2.0 has written no files')
  await kafka.restart()
  // Those of 4 have long looked into the directory then.
  await delay(10_000)
  const touched = []
  for (const [file, { ino, size }] of before) {
    const now = oldFiles(directory).get(file)
    if (!now || now.ino !== ino || now.size < size) touched.push(file)
  }
  const c4 = await replace(c, 'c-4')
  for (const file of oldFiles(directory).keys()) makeOld(file)
  await until(() => oldFiles(directory).size === 0, { what: 'files of 3.2.0 to be taken over' })
  for (const one of [a4, b4, c4]) queued[one.id] = await one.stop()

  const seen = new Map()
  await until(
    async () => {
      seen.clear()
      for (const { value } of await readTopic(kafka.bootstrap, topic)) {
        const { id, n } = JSON.parse(value)
        seen.set(`${id} ${n}`, (seen.get(`${id} ${n}`) ?? 0) + 1)
      }
      return missing(queued, seen).length === 0
    },
    { what: () => `all messages; missing: ${missing(queued, seen).slice(0, 5)}` }
  )
  const duplicated = [...seen.values()].filter((times) => times > 1).length
  return { queued, filesOf3: before.size, touched, duplicated }
}

function missing(queued, seen) {
  const names = Object.entries(queued).flatMap(([id, count]) =>
    Array.from({ length: count }, (_, n) => `${id} ${n}`)
  )
  return names.filter((name) => !seen.has(name))
}

module.exports = { upgrade }
