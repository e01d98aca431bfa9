// What must be on the machine before anything else can work, and where to get it.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { root, StepFailed } from './command.mjs'

const execute = promisify(execFile)

const rustVersion = readFileSync(path.join(root, 'Cargo.toml'), 'utf8').match(
  /^rust-version = "(.+)"/m
)[1]

const RUST = 'https://rustup.rs'
const PACKAGES = {
  linux: 'with apt: build-essential cmake perl; with dnf: gcc gcc-c++ make cmake perl',
  darwin: 'xcode-select --install; brew install cmake',
}
const C = PACKAGES[process.platform] ?? 'the package manager of your system'

// Each tool: what it is for people, how it answers, and the least version that will do.
const BUILD_TOOLS = [
  {
    name: 'node',
    get: 'https://nodejs.org (to build; the built addon runs on older ones)',
    tries: [[process.execPath, '--version']],
    least: '20.17',
  },
  { name: 'cargo', get: RUST, tries: [['cargo', '--version']], least: rustVersion },
  { name: 'rustc', get: RUST, tries: [['rustc', '--version']], least: rustVersion },
  { name: 'a C compiler (cc)', get: C, tries: compilers('CC', ['cc', 'gcc', 'clang']) },
  { name: 'a C++ compiler (c++)', get: C, tries: compilers('CXX', ['c++', 'g++', 'clang++']) },
  { name: 'make', get: C, tries: [['make', '--version']] },
  { name: 'cmake', get: C, tries: [['cmake', '--version']], least: '3.5' },
  // Some systems have a perl that lacks what OpenSSL's build loads.
  {
    name: 'perl with its modules FindBin and IPC::Cmd',
    get: `${C} (dnf: also perl-FindBin perl-IPC-Cmd)`,
    tries: [['perl', '-MFindBin', '-MIPC::Cmd', '-e', '1']],
  },
]

const LINT_TOOLS = [
  { name: 'rustfmt', get: 'rustup component add rustfmt', tries: [['cargo', 'fmt', '--version']] },
  { name: 'clippy', get: 'rustup component add clippy', tries: [['cargo', 'clippy', '--version']] },
]

const KAFKA_TOOLS = [
  {
    name: 'java',
    get: 'https://adoptium.net, or with apt: openjdk-17-jre-headless (runs the real Kafka)',
    tries: [['java', '-version']],
    least: '17',
  },
  {
    name: 'mvn',
    get: 'https://maven.apache.org, or with apt: maven (fetches the real Kafka)',
    tries: [['mvn', '--version']],
  },
]

/**
 * Fails with one line for each tool that is missing or too old. `lint`: also those that look at the
 * code; `kafka`: also those that fetch and run a real Kafka.
 */
export async function checkTools({ lint = false, kafka = false } = {}) {
  const wanted = [...BUILD_TOOLS, ...(lint ? LINT_TOOLS : []), ...(kafka ? KAFKA_TOOLS : [])]
  const problems = (await Promise.all(wanted.map(findProblem))).filter(Boolean)
  if (problems.length === 0) return
  throw new StepFailed(['This machine lacks what kafka-publisher needs:', ...problems].join('\n  '))
}

async function findProblem({ name, get, tries, least }) {
  const version = await firstAnswer(tries)
  if (version === null) return `${name}${least ? ` ${least} or newer` : ''} is missing: ${get}`
  if (least && isOlder(version, least)) return `${name} is ${version}, needs ${least}: ${get}`
  return null
}

/** The version that the first working command names ('' if none), or null if no command works. */
async function firstAnswer(tries) {
  for (const [command, ...args] of tries) {
    const answer = await execute(command, args).catch(() => null)
    // java writes to stderr.
    if (answer) return `${answer.stdout}${answer.stderr}`.match(/\d+(\.\d+)*/)?.[0] ?? ''
  }
  return null
}

function isOlder(version, least) {
  const have = version.split('.').map(Number)
  const need = least.split('.').map(Number)
  for (const [index, number] of need.entries()) {
    if ((have[index] ?? 0) !== number) return (have[index] ?? 0) < number
  }
  return false
}

function compilers(variable, names) {
  const chosen = process.env[variable]
  return (chosen ? [chosen] : names).map((name) => [...name.split(' '), '--version'])
}
