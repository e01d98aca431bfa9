// Plays scenarios one after the other, on as few clusters as they need.

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { Cluster } = require('./cluster')
const { Network } = require('./network')
const { runScenario } = require('./runner')

/**
 * @param {object[]} scenarios
 * @param {(line: string) => void} tell
 * @returns {Promise<object[]>} the rows
 */
export async function play(scenarios, tell) {
  const network = new Network()
  const rows = []
  for (const options of distinct(scenarios)) {
    tell(`starting Kafka ${JSON.stringify(options)}`)
    const cluster = await Cluster.start(network, options)
    try {
      for (const scenario of scenarios) {
        if (keyOf(scenario) !== JSON.stringify(options)) continue
        tell(`${scenario.name}: ${scenario.what}`)
        const row = await runScenario(scenario, { network, cluster })
        const how = row.failures.length === 0 ? 'as expected' : row.failures.join('; ')
        tell(`${scenario.name}: ${how} (${row.seconds} s)`)
        rows.push(row)
      }
    } finally {
      await cluster.stop()
    }
  }
  return rows
}

const keyOf = ({ cluster = {} }) => JSON.stringify(cluster)

const distinct = (scenarios) => [...new Set(scenarios.map(keyOf))].map((text) => JSON.parse(text))
