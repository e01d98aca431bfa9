// Plays scenarios one after the other, on as few clusters as they need.

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { Cluster } = require('./cluster')
const { Loopback } = require('./loopback')
const { Network } = require('./network')
const { runScenario } = require('./runner')

/**
 * @param {object[]} scenarios
 * @param {boolean} enclosed whether this process is in namespaces of its own
 * @param {(line: string) => void} tell
 * @returns {Promise<object[]>} the rows
 */
export async function play(scenarios, enclosed, tell) {
  const network = enclosed ? new Network() : new Loopback()
  const rows = []
  for (const options of distinct(scenarios)) {
    const group = scenarios.filter((scenario) => keyOf(scenario) === keyOf({ cluster: options }))
    tell(`starting Kafka ${options.version ?? ''}`.trimEnd())
    try {
      await playGroup(group, options, network, (row) => {
        rows.push(row)
        const how = row.failures.length === 0 ? 'as expected' : row.failures.join('; ')
        tell(`${row.name}: ${how} (${row.seconds} s)`)
      })
    } catch (error) {
      // The cluster itself: what was still to be played was not.
      const played = rows.map(({ name }) => name)
      for (const { name, what } of group) {
        if (!played.includes(name)) rows.push({ name, what, failures: [error.stack] })
      }
      tell(error.stack)
    }
  }
  return rows
}

async function playGroup(scenarios, options, network, done) {
  const cluster = await Cluster.start(network, options)
  try {
    for (const scenario of scenarios) done(await runScenario(scenario, { network, cluster }))
  } finally {
    await cluster.stop()
  }
}

const keyOf = ({ cluster }) => JSON.stringify(cluster)

const distinct = (scenarios) => [...new Set(scenarios.map(keyOf))].map((text) => JSON.parse(text))
