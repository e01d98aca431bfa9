// What can be said of the code without running it.

import { nodeModule, run } from './command.mjs'
import { cargoEnv } from './setup.mjs'
import { step } from './steps.mjs'

const cargo = async (...args) => run('cargo', args, { env: await cargoEnv() })

/** Of `cargo test`: models and properties are tried with the same cases each time. Others: `test:soak`. */
export async function unitTestEnv() {
  return { ...(await cargoEnv()), PROPTEST_RNG_SEED: process.env.PROPTEST_RNG_SEED ?? '20261127' }
}

export async function checkFormat() {
  await step('rustfmt', () => cargo('fmt', '--check'))
  // `biome ci` colours every letter even when no terminal reads them.
  const colors = process.stdout.isTTY ? [] : ['--colors=off']
  const biome = [nodeModule('@biomejs/biome/bin/biome'), 'ci', '--error-on-warnings', ...colors]
  await step('biome', () => run('node', [...biome, '.']))
}

/** The release profile throughout: what cargo builds of librdkafka and OpenSSL is shared. */
export async function checkRust() {
  await step('clippy', () =>
    cargo('clippy', '--locked', '--release', '--all-targets', '--', '-D', 'warnings')
  )
}

export async function checkTypes() {
  await step('types', () => run('node', [nodeModule('typescript/bin/tsc'), '-p', '__test__/types']))
}
