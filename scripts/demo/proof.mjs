// Where each message is, by its id: in the topic, as an independent consumer reads it back, in the
// fallback files, or nowhere.

import { readTopic } from '../../__test__/support/consume.js'
import { readFallback } from '../../__test__/support/publisher.js'
import { number } from './display.mjs'
import { keyOf, messageOf } from './load.mjs'

/**
 * @param {object} where `cluster`, `topic`, `directory`, and the messages: those of `run` with ids
 *   from 0 to `count` - 1
 * @returns the numbers of messages found, by place; `extra`: how often one was found once more
 */
export async function findMessages({ cluster, topic, directory, run, count }) {
  const { bootstrap, fromOffsets } = cluster
  const ids = (texts) => texts.map((text) => idOf(run, count, ...text)).filter((id) => id !== null)
  const read = await readTopic(bootstrap, topic, { fromOffsets })
  const topicIds = ids(read.map(({ key, value }) => [String(key), String(value)]))
  const fileIds = ids(
    readFallback(directory).map(({ key, value }) => [JSON.stringify(key), JSON.stringify(value)])
  )
  const inTopic = new Set(topicIds)
  const inFile = new Set(fileIds)
  const found = new Set([...inTopic, ...inFile]).size
  return {
    inTopic: inTopic.size,
    inFile: inFile.size,
    inBoth: inTopic.size + inFile.size - found,
    extra: topicIds.length + fileIds.length - found,
    missing: count - found,
  }
}

/** The id of a message of this run, or null: not this run's, or not as it was queued. */
function idOf(run, count, key, value) {
  if (!value.includes(run)) return null
  const { id } = JSON.parse(value)
  const asQueued =
    id < count && key === JSON.stringify(keyOf(id)) && value === JSON.stringify(messageOf(run, id))
  return asQueued ? id : null
}

/** The table at the end. `found` is what `findMessages` has found, or null if it could not look. */
export function table({ load, statistics, found, lost }) {
  const { queueCnt, sentCnt, filePublisher, fallback, replay, discardedCnt } = statistics
  const rows = [
    ['', 'publisher', 'read back', ''],
    ['queued', queueCnt, load.count, 'calls of queue()'],
    ['delivered', sentCnt, found?.inTopic, 'in the topic, as kafkajs reads it'],
    ['written to file', filePublisher.mesgCnt, '', 'during the outage'],
    ['replayed', replay.replayedCnt, '', 'from file into the topic; counted as delivered, too'],
    ['still in file', fallback.messages, found?.inFile, 'lines of the fallback files'],
    ['discarded', discardedCnt.total, '', 'refused, with a reason in the log'],
    ['duplicates', '', found?.extra, found ? `${number(found.inBoth)} in both topic and file` : ''],
    ['lost', statistics.unaccountedCnt, lost, 'neither in the topic nor in a file'],
  ]
  const cell = (value) => (typeof value === 'number' ? number(value) : (value ?? '?')).padStart(12)
  const lines = rows.map(([name, counted, read, meaning]) =>
    `  ${name.padEnd(16)}${cell(counted)}${cell(read)}   ${meaning}`.trimEnd()
  )
  const mean = (load.total / Math.max(load.count, 1)) * 1000
  const times = `longest ${load.slowest.toFixed(2)} ms, mean ${mean.toFixed(1)} µs`
  return [...lines, `  one queue() call: ${times}`].join('\n')
}
