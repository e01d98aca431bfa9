// The demo's arguments.

import { parseArgs } from 'node:util'
import { StepFailed } from '../command.mjs'
import { Load } from './load.mjs'

const USAGE = 2

export const HELP = `npm run demo [-- OPTION...]

Publishes ${Load.perSecond} messages a second, goes through an outage of all brokers and the replay of what
was written to file, and shows where each message has ended up. Without options against an embedded cluster, which takes about 20 s.

  --broker HOST:PORT[,...]  against this cluster instead (plain TCP, without a login); you are told
                            when to stop and to start it
  --topic NAME              the topic, made if it is missing (default: kafka-publisher-demo)
  -h, --help                this text

Exit code: 0 every message is accounted for, 1 not so, 2 wrong arguments, 130 interrupted.`

/** `broker`, `topic` and `help`. Fails, saying which argument is wrong. */
export function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        broker: { type: 'string' },
        topic: { type: 'string', default: 'kafka-publisher-demo' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    const { broker, topic } = values
    if (broker !== undefined && !/^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$/.test(broker)) {
      throw new Error(`--broker takes HOST:PORT, or several with commas, not '${broker}'`)
    }
    if (!/^(?!\.{1,2}$)[\w.-]{1,249}$/.test(topic))
      throw new Error(`'${topic}' can be no topic's name`)
    return values
  } catch (error) {
    throw new StepFailed(`${error.message}\n\nnpm run demo -- --help says what there is`, USAGE)
  }
}
