// How the scripts start other programs. Node's own modules only: this runs before `npm ci`.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

/** A step failed and has said why itself; `exitCode` is what the whole run ends with. */
export class StepFailed extends Error {
  constructor(message, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Runs a program in the project's top folder, its output passed on as it comes. */
export async function run(command, args, { env } = {}) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: 'inherit',
    // On Windows npm is a .cmd file, which only a shell can start.
    shell: process.platform === 'win32' && command === 'npm',
  })
  const [code, signal] = await once(child, 'close').catch((error) => {
    throw new StepFailed(`${command} could not be started: ${error.message}`)
  })
  if (code !== 0) {
    throw new StepFailed(
      `${command} ${args.join(' ')}: ${signal ?? `exit code ${code}`}`,
      code ?? 1
    )
  }
}

/** The path of a program that a development dependency brings along. */
export const nodeModule = (file) => path.join(root, 'node_modules', file)

/** Runs `main`, and ends the process as it went: a failed step needs no stack trace. */
export async function runMain(main) {
  try {
    await main()
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
    console.error(error.message)
    process.exitCode = error.exitCode
  }
}
