// The package misused at random, in processes of their own: nothing that JavaScript, a stream or an
// option does ends a process, hangs it, or breaks the accounts. `HOSTILE_SEED=7 npm test -- hostile`
// repeats one run; KAFKA_PUBLISHER_SOAK=1 goes on for minutes.
//
// Takes long.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { misuse, STREAMS } = require('./hostile/process')

const SOAK = process.env.KAFKA_PUBLISHER_SOAK === '1'
const BUDGET = SOAK ? 10 * 60_000 : 20_000
const AT_ONCE = 4
const SEEDS_PER_RUN = 1_000_000

const first = Number(process.env.HOSTILE_SEED ?? Math.floor(Math.random() * SEEDS_PER_RUN))
const streams = Object.keys(STREAMS)

async function run(seed) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-hostile-'))
  const stream = streams[seed % streams.length]
  try {
    const problems = await misuse(seed, stream, directory)
    return problems.map((problem) => `seed ${seed}, stderr ${stream}: ${problem}`)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

test(
  'no misuse ends or hangs the process, or breaks the accounts',
  async () => {
    const deadline = performance.now() + BUDGET
    const isRepeated = process.env.HOSTILE_SEED !== undefined
    const problems = []
    let seed = first
    let runs = 0
    const lane = async () => {
      do {
        runs++
        problems.push(...(await run(seed++)))
      } while (!isRepeated && problems.length === 0 && performance.now() < deadline)
    }
    await Promise.all(Array.from({ length: isRepeated ? 1 : AT_ONCE }, lane))
    expect(problems).toEqual([])
    expect(runs).toBeGreaterThan(0)
  },
  BUDGET + 300_000
)
