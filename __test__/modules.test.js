// The package is had by import and by require, by its name.

const { execFile, execFileSync } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')

const run = promisify(execFile)
const cwd = path.resolve(__dirname, '..')

test.each([
  [
    'module',
    "import { KafkaPublisher } from 'kafka-publisher'; console.log(typeof KafkaPublisher)",
  ],
  ['module', "import all from 'kafka-publisher'; console.log(typeof all.KafkaPublisher)"],
  [
    'module',
    "import { MockCluster } from 'kafka-publisher/testing'; console.log(typeof MockCluster)",
  ],
  [
    'commonjs',
    "const { KafkaPublisher } = require('kafka-publisher'); console.log(typeof KafkaPublisher)",
  ],
  [
    'commonjs',
    "const { MockCluster } = require('kafka-publisher/testing'); console.log(typeof MockCluster)",
  ],
])('%s: %s', async (type, script) => {
  const { stdout } = await run(process.execPath, [`--input-type=${type}`, '-e', script], { cwd })
  expect(stdout.trim()).toBe('function')
})

test('the exports are the documented ones, and no more', () => {
  expect(Object.keys(require('..'))).toEqual(['KafkaPublisher'])
  expect(Object.keys(require('../testing'))).toEqual(['MockCluster'])
})

test('the methods are the documented ones', () => {
  const { KafkaPublisher } = require('..')
  const methods = Object.getOwnPropertyNames(KafkaPublisher.prototype).filter(
    (name) => name !== 'constructor'
  )
  expect(methods.sort()).toEqual([
    'addListener',
    'connect',
    'disconnect',
    'drained',
    'end',
    'getStatistics',
    'init',
    'listenerCount',
    'off',
    'on',
    'once',
    'pending',
    'publish',
    'publishRecord',
    'queue',
    'queueRecord',
    'queued',
    'removeListener',
    'resetStatistics',
    'shutdown',
    'tombstone',
    'writable',
  ])
})

if (process.platform === 'linux') {
  test('the addon is linked to libc, libm and libgcc_s only', () => {
    const addon = path.resolve(__dirname, '..', `kafka-publisher.linux-${process.arch}-gnu.node`)
    const needed = execFileSync('ldd', [addon], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim().split(' ')[0])
      .filter((name) => name && !/^linux-vdso|\/ld-linux/.test(name))
    // Before glibc 2.34 these were libraries of their own.
    const partOfLibc = ['libpthread.so.0', 'libdl.so.2', 'librt.so.1']
    const allowed = ['libc.so.6', 'libm.so.6', 'libgcc_s.so.1', ...partOfLibc]
    expect(needed.filter((name) => !allowed.includes(name))).toEqual([])
  })
}
