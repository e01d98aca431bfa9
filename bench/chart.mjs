// `node bench/chart.mjs RUNS.json CHART.svg [WORKLOAD]`: draws what `npm run bench -- --json RUNS.json`
// has kept, the messages/s of each contender as bars.

import { readFile, writeFile } from 'node:fs/promises'
import { runMain, StepFailed } from '../scripts/command.mjs'
import { median, unique } from './report.mjs'
import { WORKLOADS } from './workloads.mjs'

const USAGE = 2

const NAMES = {
  addon: 'kafka-publisher',
  platformatic: '@platformatic/kafka, stream',
  'platformatic-send': '@platformatic/kafka, send()',
  'node-rdkafka': 'node-rdkafka',
  kafkajs: 'kafkajs',
  original: 'kafka-publisher 3.2.0',
  librdkafka: 'librdkafka, from Rust',
}

const WIDTH = 760
const LABEL = 190
const NUMBER = 90
const BAR = 20
const STEP = 28
const HEAD = 56
const GROUP = 34
const FOOT = 30

// Readable on a light page and on a dark one.
const STYLE = `text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.small { font-size: 11px; fill: #57606a }
.group { font-weight: 600 }
.addon { fill: #1f6feb }
.peer { fill: #9aa4af }
.floor { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.peer { fill: #6e7681 }
.floor { fill: #3d444d }
}`

await runMain(async () => {
  const [input, output, workload = 'small'] = process.argv.slice(2)
  if (!input || !output || WORKLOADS[workload]?.task !== 'throughput') {
    throw new StepFailed('node bench/chart.mjs RUNS.json CHART.svg [WORKLOAD]', USAGE)
  }
  const { machine, runs } = JSON.parse(await readFile(input, 'utf8'))
  const chosen = runs.filter((run) => run.workload === workload && !run.error)
  if (chosen.length === 0) throw new StepFailed(`${input} has no runs of ${workload}`)
  await writeFile(output, draw(groupsOf(chosen), WORKLOADS[workload].title, machine, chosen))
})

/** For each Node.js the contenders' medians, the fastest first. */
function groupsOf(runs) {
  return unique(runs, 'node').map((node) => {
    const ofNode = runs.filter((run) => run.node === node)
    const bars = Object.keys(NAMES)
      .map((contender) => ({
        contender,
        perSecond: median(
          ofNode.filter((run) => run.contender === contender).map((run) => run.perSecond)
        ),
      }))
      .filter(({ perSecond }) => perSecond !== undefined)
      .sort((a, b) => b.perSecond - a.perSecond)
    return { node, bars }
  })
}

function draw(groups, title, machine, runs) {
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ perSecond }) => perSecond)))
  const parts = []
  let y = HEAD
  for (const { node, bars } of groups) {
    parts.push(text(0, y + 14, `Node.js ${machine.node[node].replace('v', '')}`, 'group'))
    y += GROUP - 6
    for (const bar of bars) {
      parts.push(drawBar(bar, y, most))
      y += STEP
    }
    y += 12
  }
  const height = y + FOOT
  const rounds = unique(runs, 'round').length
  const foot = `${machine.cpu}, ${machine.cores} cores, Kafka on the same machine; median of ${rounds} rounds`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Messages per second">
<style>${STYLE}</style>
${text(0, 18, 'Messages delivered per second', 'title')}
${text(0, 36, `JSON messages of ${plain(title)}, string keys, acks all`, 'small')}
${parts.join('\n')}
${text(0, height - 10, plain(foot), 'small')}
</svg>
`
}

function drawBar({ contender, perSecond }, y, most) {
  const width = Math.max(1, ((WIDTH - LABEL - NUMBER) * perSecond) / most)
  const kind = contender === 'addon' ? 'addon' : contender === 'librdkafka' ? 'floor' : 'peer'
  const thousands = (Math.round(perSecond / 1000) * 1000).toLocaleString('en')
  return [
    text(0, y + 15, NAMES[contender], contender === 'addon' ? 'group' : ''),
    `<rect class="${kind}" x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
    text(LABEL + width + 8, y + 15, thousands, ''),
  ].join('\n')
}

function text(x, y, content, kind) {
  return `<text x="${x.toFixed(1)}" y="${y}"${kind && ` class="${kind}"`}>${content}</text>`
}

function plain(content) {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;')
}
