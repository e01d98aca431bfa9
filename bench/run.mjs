// `npm run bench`: installs the peers, starts Kafka, runs every contender through every workload in
// interleaved rounds, prints medians and ratios. bench/README.md says how to read them.

import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import { runMain, StepFailed } from '../scripts/command.mjs'
import { HELP, readArguments } from './arguments.mjs'
import { Broker } from './broker.mjs'
import { FLOORS, hold } from './contest.mjs'
import { buildFloor, install } from './installation.mjs'
import { describeMachine, machineText } from './machine.mjs'
import { headline, report } from './report.mjs'
import { packageSize } from './size.mjs'
import { CONTENDERS, contendersOf, EXTRA, workload } from './workloads.mjs'

await runMain(async () => {
  const options = readArguments()
  if (options.help) return console.log(HELP)
  const runtimes = []
  for (const major of options.node) runtimes.push(await install(major, needed(options, major)))
  const machine = await describeMachine(runtimes)
  console.log(`${machineText(machine)}\n`)

  const contests = plan(options, runtimes)
  const floor = contests.some(({ contender }) => contender in FLOORS) ? await buildFloor() : null
  const onKafka = contests.some(({ work }) => work.place === 'topic')
  const broker = onKafka ? await Broker.start() : null
  try {
    const outfit = { broker, floor }
    if (broker) await warmUp(outfit, options, runtimes[0])
    const runs = []
    for (let round = 1; round <= options.rounds; round++) {
      await runRound(round, contests, outfit, runs)
      // A later round may be interrupted.
      const record = { machine, options, runs }
      if (options.json) await writeFile(options.json, `${JSON.stringify(record, null, 1)}\n`)
    }
    console.log(`\n${report(runs)}`)
    const failed = runs.filter(({ error }) => error)
    if (failed.length > 0) throw new StepFailed(`${failed.length} of ${runs.length} runs failed`)
  } finally {
    await broker?.stop()
  }
})

/** Who does what, in one round. */
function plan(options, runtimes) {
  return runtimes.flatMap((runtime) =>
    options.workloads.flatMap((name) => {
      const work = workload(name, options)
      return wanted(work, runtime.major, options).map((contender) => ({ work, contender, runtime }))
    })
  )
}

/** All who do anything on this version of Node.js. */
function needed(options, major) {
  return options.workloads.flatMap((name) => wanted(workload(name, options), major, options))
}

function wanted(work, major, { contenders = CONTENDERS.filter((name) => !EXTRA.includes(name)) }) {
  return contendersOf(work, major).filter((contender) => contenders.includes(contender))
}

/** A JVM is slow at first, which must not be the first contender's loss. */
async function warmUp(outfit, options, runtime) {
  const work = { ...workload('small', options), warmUp: 0 }
  if (outfit.floor) await hold(work, 'librdkafka', {}, outfit)
  else await hold(work, 'addon', runtime, outfit)
}

async function runRound(round, contests, outfit, runs) {
  for (const { work, contender, runtime } of rotated(contests, round)) {
    const run = {
      round,
      node: runtime.major,
      workload: work.name,
      contender,
      startedAt: new Date().toISOString(),
      loadAverage: os.loadavg()[0],
    }
    try {
      Object.assign(run, await hold(work, contender, runtime, outfit))
      if (work.name === 'load') run.packageBytes = await packageSize(contender, runtime)
    } catch (error) {
      run.error = error.message
    }
    runs.push(run)
    console.log(
      `round ${round}, Node.js ${run.node}, ${run.workload}, ${contender}: ${headline(run)}`
    )
  }
}

/** No contender is always the first of its workload, or always behind the same other one. */
function rotated(contests, round) {
  const groups = new Map()
  for (const contest of contests) {
    const group = `${contest.runtime.major} ${contest.work.name}`
    groups.set(group, [...(groups.get(group) ?? []), contest])
  }
  return [...groups.values()].flatMap((group) => {
    const from = (round - 1) % group.length
    const turned = [...group.slice(from), ...group.slice(0, from)]
    return round % 2 === 0 ? turned.reverse() : turned
  })
}
