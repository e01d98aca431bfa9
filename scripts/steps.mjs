// The steps of `npm test` and its kin: each with its name before it and its time behind it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { root, StepFailed } from './command.mjs'

export async function step(name, work) {
  console.log(`\n=== ${name}`)
  const begin = performance.now()
  let outcome = 'FAILED after'
  try {
    await work()
    outcome = 'ok in'
  } finally {
    console.log(`--- ${name}: ${outcome} ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  }
}

/**
 * Runs programs, one after the other, beside what the caller does, who is the only one to print
 * meanwhile.
 *
 * @param {{name: string, command: string, args: string[], env?: object}[]} programs
 * @returns {{finish: () => Promise<void>, abandon: () => Promise<void>}} `finish`: prints each one's
 *   output as a step, and fails if one did; `abandon`: ends what is running, and prints nothing
 */
function beside(programs) {
  let running
  let abandoned = false
  const outcomes = (async () => {
    const all = []
    for (const program of programs) {
      if (abandoned) break
      const begin = performance.now()
      running = start(program)
      const { code, output } = await running.ended
      const seconds = ((performance.now() - begin) / 1000).toFixed(1)
      all.push({ ...program, code, output, seconds })
      if (code !== 0) break
    }
    return all
  })()
  return {
    async finish() {
      for (const { name, code, output, seconds } of await outcomes) {
        const outcome = code === 0 ? 'ok in' : 'FAILED after'
        console.log(`\n=== ${name} (side by side)\n${output.trimEnd()}`)
        console.log(`--- ${name}: ${outcome} ${seconds} s`)
        if (code !== 0) throw new StepFailed(`${name}: exit code ${code}`)
      }
    },
    async abandon() {
      abandoned = true
      running?.end()
      await outcomes
    },
  }
}

/** The work, and the programs beside it; what they printed comes after what it prints. */
export async function sideBySide(name, work, programs) {
  const others = beside(programs)
  try {
    await step(name, work)
  } catch (error) {
    await others.abandon()
    throw error
  }
  await others.finish()
}

/** In a group of its own, so that `end` reaches what it has started, too. */
function start({ command, args, env }) {
  const detached = process.platform !== 'win32'
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const end = () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    if (detached) process.kill(-child.pid, 'SIGKILL')
    else child.kill()
  }
  // Ctrl+C does not reach another group.
  const interrupted = () => {
    end()
    process.exit(130)
  }
  process.once('SIGINT', interrupted)
  const ended = once(child, 'close').then(
    ([code, signal]) => ({ code: code ?? signal, output }),
    (error) => ({ code: error.code, output: `${output}${error.message}` })
  )
  ended.then(() => process.off('SIGINT', interrupted))
  return { ended, end }
}
