// The benchmark's arguments.

import { parseArgs } from 'node:util'
import { StepFailed } from '../scripts/command.mjs'
import { CONTENDERS, GROUPS, WORKLOADS } from './workloads.mjs'

const USAGE = 2

export const HELP = `npm run bench [-- OPTION...]

  --only NAME,...        workloads: ${Object.keys(WORKLOADS).join(', ')};
                         rtt, files: all of its kind
  --contenders NAME,...  ${CONTENDERS.join(', ')}
  --node MAJOR,...       versions of Node.js (default: 20,24)
  --rounds N             how often all of it is run (default: 5)
  --messages N           instead of each workload's own number
  --quick                one round of little, on the Node.js that runs this: does it work?
  --json FILE            keeps every run
  -h, --help             this text`

const OPTIONS = {
  only: { type: 'string' },
  contenders: { type: 'string' },
  node: { type: 'string' },
  rounds: { type: 'string' },
  messages: { type: 'string' },
  quick: { type: 'boolean', default: false },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
}

/** Fails, saying which argument is wrong. */
export function readArguments() {
  try {
    const { values } = parseArgs({ options: OPTIONS })
    const { quick, json, help } = values
    const running = process.versions.node.split('.')[0]
    return {
      quick,
      json,
      help,
      workloads: workloads(values.only),
      contenders: list('contenders', values.contenders, CONTENDERS),
      node: values.node?.split(',') ?? (quick ? [running] : ['20', '24']),
      rounds: count('rounds', values.rounds) ?? (quick ? 1 : 5),
      messages: count('messages', values.messages),
    }
  } catch (error) {
    throw new StepFailed(`${error.message}\n\n${HELP}`, USAGE)
  }
}

function workloads(text) {
  const all = Object.keys(WORKLOADS)
  const names = list('only', text, [...all, ...Object.keys(GROUPS)]) ?? all
  return names.flatMap((name) => GROUPS[name] ?? name)
}

function list(option, text, known) {
  const names = text?.split(',')
  const wrong = names?.find((name) => !known.includes(name))
  if (wrong !== undefined) {
    throw new Error(`--${option} takes some of ${known.join(', ')}, not '${wrong}'`)
  }
  return names
}

function count(option, text) {
  if (text === undefined) return undefined
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`--${option} takes a whole number from 1, not '${text}'`)
}
