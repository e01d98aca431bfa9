// From runs to tables: medians of what was measured, and medians of the ratios within each round.

import { WORKLOADS } from './workloads.mjs'

const US = (value) => value?.toFixed(2)
const NS = (value) => value?.toFixed(0)
const MS = (value) => value?.toFixed(2)
const MB = (value) => (value / 1e6).toFixed(1)
const RATIO = (value) => value?.toFixed(2)
const WHOLE = (value) => Math.round(value).toLocaleString('en')
const YES = (value) => (Number(value) === 1 ? 'yes' : 'no')

/** For each task its columns: title, what of a run, and how it is written. */
const COLUMNS = {
  throughput: [
    ['messages/s', 'perSecond', WHOLE],
    ['addon : it', 'perSecond', RATIO, 'addon'],
    ['CPU µs', 'cpuUs', US],
    ['addon : it', 'cpuUs', RATIO, 'addon'],
    ['loop µs', 'loopUs', US],
    ['queue() ns', 'queueNs', NS],
    ['peak MB', 'peakRss', MB],
  ],
  queue: [
    ['queue() ns', 'queueNs', NS],
    ['JSON.stringify ns', 'stringifyNs', NS],
    ['ratio', 'ratio', RATIO],
  ],
  loop: [
    ['messages/s', 'perSecond', WHOLE],
    ['p50 ms', 'loopP50', MS],
    ['p99 ms', 'loopP99', MS],
    ['addon : it', 'loopP99', RATIO, 'addon'],
    ['max ms', 'loopMax', MS],
    ['CPU µs', 'cpuUs', US],
    ['peak MB', 'peakRss', MB],
  ],
  latency: [
    ['p50 ms', 'p50', MS],
    ['p99 ms', 'p99', MS],
    ['addon : it', 'p99', RATIO, 'addon'],
    ['max ms', 'max', MS],
    ['CPU µs', 'cpuUs', US],
  ],
  load: [
    ['load ms', 'loadMs', MS],
    ['resident MB', 'loadRss', MB],
    ['on disk MB', 'packageBytes', MB],
  ],
  first: [
    ['load ms', 'loadMs', MS],
    ['first ms', 'firstMs', MS],
    ['addon : it', 'firstMs', RATIO, 'addon'],
  ],
  back: [5, 40, 60].flatMap((seconds) => [
    [`${seconds} s: median ms`, `median${seconds}`, WHOLE],
    ['worst ms', `worst${seconds}`, WHOLE],
  ]),
  rtt: [
    ['p50 ms', 'p50', MS],
    ['p99 ms', 'p99', MS],
    ['addon : it', 'p99', RATIO, 'addon'],
    ['max ms', 'max', MS],
    ['through files %', 'filedPercent', US],
  ],
  topics: [
    ['messages', 'messages', WHOLE],
    ['through files', 'filed', WHOLE],
    ['%', 'filedPercent', US],
    ['seconds', 'seconds', MS],
  ],
  fallback: [
    ['messages/s', 'perSecond', WHOLE],
    ['addon : it', 'perSecond', RATIO, 'addon'],
    ['CPU µs', 'cpuUs', US],
    ['peak MB', 'peakRss', MB],
    ['in order', 'inOrder', YES],
    ['with keys', 'withKeys', YES],
  ],
  memory: [
    ['messages', 'queued', WHOLE],
    ['messages/s', 'perSecond', WHOLE],
    ['idle MB', 'idle', MB],
    ['growth MB', 'growth', MB],
  ],
  replay: [
    ['replayed/s', 'perSecond', WHOLE],
    ['live/s', 'livePerSecond', WHOLE],
    ['ratio', 'ratio', RATIO],
    ['CPU µs', 'cpuUs', US],
  ],
  files: [
    ['files/s', 'perSecond', WHOLE],
    ['seconds', 'seconds', MS],
    ['CPU s', 'cpuSeconds', MS],
    ['CPU µs a file', 'cpuUs', US],
    ['MB more than idle', 'moreRss', MB],
    ['descriptors more', 'moreDescriptors', WHOLE],
  ],
  living: [
    ['% of a core, alone', 'alone', RATIO],
    ['among others', 'among', RATIO],
    ['difference', 'percent', RATIO],
  ],
  large: [
    ['first ms, at worst', 'firstMs', WHOLE],
    ['end() ms, at worst', 'endMs', WHOLE],
    ['end() ms without Kafka', 'futileEndMs', WHOLE],
    ['MB more than idle', 'moreRss', MB],
    ['descriptors more', 'moreDescriptors', WHOLE],
  ],
  'replay-latency': [
    ['p99 ms without', 'p99Without', MS],
    ['p99 ms with', 'p99', MS],
    ['ratio', 'ratio', RATIO],
    ['replayed meanwhile', 'replayedMeanwhile', WHOLE],
  ],
}

/** A run in a few words. */
export function headline(run) {
  if (run.error) return `FAILED: ${run.error}`
  return COLUMNS[WORKLOADS[run.workload].task]
    .filter(([, part, , base]) => !base && run[part] !== undefined)
    .map(([title, part, write]) => `${write(run[part])} ${title}`)
    .join(', ')
}

/** All tables. */
export function report(runs) {
  const parts = []
  for (const node of unique(runs, 'node')) {
    const ofNode = runs.filter((run) => run.node === node)
    for (const name of unique(ofNode, 'workload')) {
      const good = ofNode.filter((run) => run.workload === name && !run.error)
      if (good.length === 0) continue
      const { title, task } = WORKLOADS[name]
      parts.push(`${name} on Node.js ${node}: ${title}\n${table(good, COLUMNS[task])}`)
    }
    const ratios = comparisons(ofNode)
    if (ratios.length > 0) parts.push(`Comparisons on Node.js ${node}\n${lines(ratios)}`)
  }
  return parts.join('\n\n')
}

function table(runs, columns) {
  const rows = unique(runs, 'contender').map((contender) => [
    contender,
    ...columns.map(([, part, write, base]) => {
      const value = base
        ? medianRatio(runs, [base, part], [contender, part])
        : median(values(runs, contender, part))
      return value === undefined ? '' : write(value)
    }),
  ])
  return lines([['', ...columns.map(([title]) => title)], ...rows])
}

/** What the targets are about: each is the median of the ratios within the rounds. */
function comparisons(runs) {
  const of = (name) => runs.filter((run) => run.workload === name && !run.error)
  const peers = ['platformatic', 'platformatic-send', 'node-rdkafka', 'kafkajs']
  const small = of('small')
  const best = bestOf(small, peers, 'perSecond', Math.max)
  const frugal = bestOf(small, peers, 'cpuUs', Math.min)
  const quick = bestOf(of('latency'), [...peers, 'original'], 'p99', Math.min)
  const tuned = [
    ...of('defaults').filter((run) => run.contender === 'addon'),
    ...small.filter((run) => run.contender === best),
  ]
  const rows = [
    [
      `delivered/s: addon to ${best}`,
      medianRatio(small, ['addon', 'perSecond'], [best, 'perSecond']),
    ],
    [
      `delivered/s: addon with default options to ${best}, tuned`,
      medianRatio(tuned, ['addon', 'perSecond'], [best, 'perSecond']),
    ],
    ...['original', 'librdkafka'].map((other) => [
      `delivered/s: addon to ${other}`,
      medianRatio(small, ['addon', 'perSecond'], [other, 'perSecond']),
    ]),
    [`CPU: addon to ${frugal}`, medianRatio(small, ['addon', 'cpuUs'], [frugal, 'cpuUs'])],
    ['queue() to JSON.stringify, idle', median(values(of('queue'), 'addon', 'ratio'))],
    [
      'queue() to JSON.stringify, full speed',
      medianRatio(small, ['addon', 'queueNs'], ['stringify', 'queueNs']),
    ],
    [
      'event loop p99: addon to stringify',
      medianRatio(of('loop'), ['addon', 'loopP99'], ['stringify', 'loopP99']),
    ],
    [
      `latency p99: addon to ${quick}`,
      medianRatio(of('latency'), ['addon', 'p99'], [quick, 'p99']),
    ],
    [
      'lines/s: addon to original',
      medianRatio(of('fallback'), ['addon', 'perSecond'], ['original', 'perSecond']),
    ],
    ['replayed/s to live/s', median(values(of('replay'), 'addon', 'ratio'))],
  ]
  return rows
    .filter(([, ratio]) => ratio !== undefined)
    .map(([text, ratio]) => [text, RATIO(ratio)])
}

function bestOf(runs, contenders, part, choose) {
  const medians = contenders.map((contender) => median(values(runs, contender, part)))
  const known = medians.filter((value) => value !== undefined)
  return known.length > 0 ? contenders[medians.indexOf(choose(...known))] : 'the best peer'
}

/** The median, over the rounds, of one contender's part by another's in the same round. */
function medianRatio(runs, [upper, upperPart], [lower, lowerPart]) {
  const ratios = unique(runs, 'round').map((round) => {
    const one = (contender, part) =>
      runs.find((run) => run.round === round && run.contender === contender)?.[part]
    return one(upper, upperPart) / one(lower, lowerPart)
  })
  return median(ratios.filter(Number.isFinite))
}

const values = (runs, contender, part) =>
  runs
    .filter((run) => run.contender === contender && run[part] !== undefined)
    .map((run) => run[part])

/** Undefined without numbers. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : average(sorted[middle - 1], sorted[middle])
}

const average = (a, b) => (a === undefined ? undefined : (a + b) / 2)
export const unique = (runs, part) => [...new Set(runs.map((run) => run[part]))]

/** Columns of equal width; the first is text, the others are numbers. */
function lines(rows) {
  const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => row[at].length)))
  return rows
    .map((row) =>
      row
        .map((text, at) => (at === 0 ? text.padEnd(widths[at]) : text.padStart(widths[at])))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}
