// What a process holds of the system's: for tests that look for leaks. Linux only.

const fs = require('node:fs')

function resources() {
  global.gc()
  const status = fs.readFileSync('/proc/self/status', 'latin1')
  return {
    rss: Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1024,
    threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
    files: fs.readdirSync('/proc/self/fd').length,
  }
}

/** Resolves with the resources when no more than `least` are held, or with what is held in the end. */
async function settledResources(least) {
  const deadline = Date.now() + 90_000
  for (;;) {
    const now = resources()
    if (Date.now() > deadline || (now.threads <= least.threads && now.files <= least.files))
      return now
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

module.exports = { resources, settledResources }
