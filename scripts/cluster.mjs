// `npm run test:cluster [-- [--json] [NAME...]]`: what becomes of messages on three real brokers while
// those are killed, frozen, cut off, changed. Runs the named scenarios (default: all), prints a table,
// fails if one of them does not come out as it should.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runMain, StepFailed } from './command.mjs'
import { setUp } from './setup.mjs'

const require = createRequire(import.meta.url)
const scenarios = require('../__test__/cluster/scenarios')
const { installKafka } = require('../__test__/support/kafka-install')

const INSIDE = 'KAFKA_PUBLISHER_CLUSTER'
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']

function readArguments() {
  const options = { json: { type: 'boolean', default: false }, list: { type: 'boolean' } }
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const unknown = positionals.find((name) => !scenarios.some((one) => one.name === name))
  if (unknown) {
    const names = scenarios.map(({ name }) => name).join(', ')
    throw new StepFailed(`there is no scenario '${unknown}', only ${names}`, 2)
  }
  const wanted = scenarios.filter(
    ({ name }) => positionals.length === 0 || positionals.includes(name)
  )
  return { ...values, wanted }
}

/** Runs all of it in namespaces that go with it, whatever ends it; without them where none can be had. */
async function enclose({ wanted }) {
  await setUp()
  // In there Maven would reach nobody.
  for (const version of new Set(wanted.map(({ cluster }) => cluster.version))) {
    await installKafka(version)
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'kafka-publisher-cluster-'))
  const self = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const enclosed = spawnSync('unshare', [...NAMESPACES, 'ip', 'link']).status === 0
  if (!enclosed) console.error('No network namespaces here: proxies play the network.')
  const [command, ...args] = enclosed ? ['unshare', ...NAMESPACES, ...self] : self
  const child = spawn(command, args, {
    // The process in there ends when this pipe does.
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, [INSIDE]: enclosed ? 'enclosed' : 'open', TMPDIR: folder },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => child.kill('SIGKILL'))
  }
  const [code] = await once(child, 'exit')
  await rm(folder, { recursive: true, force: true })
  if (code !== 0) throw new StepFailed('not every scenario came out as it should', code ?? 1)
}

async function runAll({ wanted, json }, enclosed) {
  process.stdin.on('close', () => process.exit(1)).resume()
  const { play } = await import('../__test__/cluster/play.mjs')
  const { table } = await import('../__test__/cluster/table.mjs')
  const possible = wanted.filter(({ needsRoot }) => enclosed || !needsRoot)
  for (const { name } of wanted.filter((one) => !possible.includes(one))) {
    console.error(`${name}: not played, since it needs root`)
  }
  const rows = await play(possible, enclosed, (line) => console.error(line))
  const text = json ? JSON.stringify(rows, null, 1) : `\n${table(rows)}`
  const failed = rows.some(({ failures }) => failures.length > 0)
  process.stdout.write(`${text}\n`, () => process.exit(failed ? 1 : 0))
}

await runMain(async () => {
  const options = readArguments()
  if (options.list) {
    for (const { name, what } of options.wanted) console.log(`${name.padEnd(22)} ${what}`)
  } else if (process.env[INSIDE]) await runAll(options, process.env[INSIDE] === 'enclosed')
  else await enclose(options)
})
