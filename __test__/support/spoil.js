// Disks that fill up, go away, or take no more files: real ones where this machine lets the tests make
// them, and the closest to it elsewhere.

const { execFileSync } = require('node:child_process')
const { setTimeout: delay } = require('node:timers/promises')

const isRoot = process.getuid?.() === 0

function works(command, ...args) {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A command under which a process can mount what only it sees; null where nobody may. */
function mountPrefix() {
  const flags = isRoot ? '-m' : '-Urm'
  const can = works('unshare', flags, 'sh', '-c', 'mount -t tmpfs -o size=64k tmpfs /tmp')
  return can ? ['unshare', flags, '--'] : null
}

/** A command under which a directory's mode counts: root may write everywhere; null: none is known. */
function modesPrefix() {
  if (!isRoot) return []
  const without = '-dac_override,-dac_read_search'
  const prefix = ['setpriv', '--bounding-set', without, '--inh-caps', without, '--']
  return works(...prefix, 'true') ? prefix : null
}

/** From now on the process opens no file with a descriptor of `limit` or above. */
const limitFiles = (pid, limit) =>
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`])

/** The share of a core that the other process uses while nothing gets better. */
async function coreShare(remote, ms = 1000) {
  const [cpu, begin] = [await remote.cpu(), performance.now()]
  await delay(ms)
  return ((await remote.cpu()) - cpu) / (performance.now() - begin)
}

module.exports = { mountPrefix, modesPrefix, limitFiles, coreShare }
