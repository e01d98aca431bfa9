// Files of other processes, and what a publisher takes that finds them.

import { execFile } from 'node:child_process'
import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { makePublisher } from '../contenders/addon.mjs'
import { memory } from './process.mjs'

const execute = promisify(execFile)
const PROGRAM = path.join(import.meta.dirname, '..', 'leave.mjs')

/**
 * Makes files of instances that are dead.
 *
 * @param {object} job
 * @param {number} job.count of instances, each with one file and a lock file
 * @param {number} [job.size] of each file, in bytes; without it each has one message
 * @param {boolean} [job.elsewhere] they died on another machine, so that no lock tells of it
 */
export async function leave({ directory, topic, bytes, count, size, elsewhere }) {
  await rm(directory, { recursive: true, force: true })
  const job = JSON.stringify({ directory, topic, bytes, count, size, elsewhere })
  await execute(process.execPath, [PROGRAM, job])
  // They are on disk, as those of dead processes are: else the kernel's writing of them is measured too,
  // or not, as it happens.
  await execute('sync')
}

/** Resident memory and open files of this process. */
async function usage() {
  return { rss: memory().rss, descriptors: (await readdir('/proc/self/fd')).length }
}

/** What a publisher takes that is connected, and has nothing to do. */
export async function idleUsage(settings) {
  const publisher = makePublisher(settings)
  await publisher.init()
  const idle = await usage()
  await publisher.end()
  return idle
}

/** The most of both that was seen until now; `see()` looks. */
export class Peak {
  rss = 0
  descriptors = 0

  async see() {
    const { rss, descriptors } = await usage()
    this.rss = Math.max(this.rss, rss)
    this.descriptors = Math.max(this.descriptors, descriptors)
  }
}
