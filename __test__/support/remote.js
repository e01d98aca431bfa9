// A publisher in a process of its own, whose disk, clock and limits are the test's to spoil.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const CHILD = path.join(__dirname, 'remote-child.js')
const children = new Set()

/**
 * @typedef {object} Remote
 * @property {(task: Function, ...args: any[]) => Promise<any>} run calls a function there, with the
 *   publisher, `require` and what is given here; it can't see what is around it here
 * @property {(from: number, to: number) => Promise<void>} queue queues `{i}` for each number
 * @property {() => Promise<object>} statistics
 * @property {() => Promise<{level: string, text: string}[]>} lines its log so far
 * @property {() => Promise<number>} cpu milliseconds of CPU time that it has used
 * @property {() => Promise<void>} end the publisher's `end()`, and that of the process
 * @property {(signal?: string) => Promise<void>} kill
 */

/**
 * Starts a process with a publisher.
 *
 * @param {object} options the publisher's
 * @param {object} [how]
 * @param {string[]} [how.prefix] a command that starts others, with its arguments
 * @param {Record<string, string>} [how.env]
 * @returns {Promise<Remote>}
 */
async function startRemote(options, { prefix = [], env } = {}) {
  const [command, ...args] = [...prefix, process.execPath, CHILD]
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  })
  children.add(child)
  const gone = once(child, 'exit').then(
    ([code, signal]) => `ended with ${signal ?? code}`,
    (error) => `could not be started: ${error.message}`
  )
  gone.then(() => children.delete(child))

  let calls = 0
  const pending = new Map()
  child.on('message', ({ id, result, error }) => {
    const { resolve, reject } = pending.get(id)
    pending.delete(id)
    if (error === undefined) resolve(result)
    else reject(new Error(`in the other process: ${error}`))
  })
  gone.then((how) => {
    for (const { reject } of pending.values()) reject(new Error(`the other process ${how}`))
  })
  const ask = (question) =>
    new Promise((resolve, reject) => {
      const id = calls++
      pending.set(id, { resolve, reject })
      child.send({ id, ...question }, (error) => error && reject(error))
    })
  const run = (task, ...args) => ask({ task: String(task), args })

  await ask({ options })
  return {
    run,
    queue: (from, to) =>
      run(
        ({ publisher }, first, end) => {
          for (let i = first; i < end; i++) publisher.queue('k', { i })
        },
        from,
        to
      ),
    statistics: () => run(({ publisher }) => publisher.getStatistics()),
    lines: () => run(({ lines }) => lines),
    cpu: () =>
      run(() => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1000
      }),
    end: async () => {
      const statistics = await run(async ({ publisher }) => {
        await publisher.end()
        return publisher.getStatistics()
      })
      child.disconnect()
      const how = await gone
      if (how !== 'ended with 0') throw new Error(`the other process ${how}`)
      return statistics
    },
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal)
      await gone
    },
  }
}

/** For `afterEach`: ends what a test that failed has left running. */
async function endRemotes() {
  await Promise.all(
    [...children].map(async (child) => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
  )
}

module.exports = { startRemote, endRemotes }
