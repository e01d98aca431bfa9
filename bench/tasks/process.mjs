// What a task says of its own process.

import { readFileSync } from 'node:fs'

/** Resident memory now and at most so far, in bytes. */
export function memory() {
  const status = readStatus()
  // What getrusage calls the most counts the parent's memory, too, from before the program began.
  if (status) return { rss: status('VmRSS'), peak: status('VmHWM') }
  return { rss: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 }
}

function readStatus() {
  if (process.platform !== 'linux') return null
  const text = readFileSync('/proc/self/status', 'utf8')
  return (name) => Number(text.match(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm'))[1]) * 1024
}

/** Processor time of all threads since the call, in microseconds. */
export function startCpu() {
  const begin = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(begin)
    return user + system
  }
}

export function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

export const ascending = (a, b) => a - b
