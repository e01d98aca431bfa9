// What became of each message, from the topics as a consumer reads them and from the fallback files as
// they were seen growing. The publisher itself is asked only how many it has queued.

/**
 * @param {object} found
 * @param {Record<string, number>} found.counts messages queued, by topic
 * @param {Record<string, object[]>} found.read each topic's messages, by partition and offset, with
 *   the broker's own time of appending
 * @param {import('./file-watch').FileWatch} found.files
 * @param {(topic: string, partition: number) => boolean} found.isCalm what no fault concerned
 * @param {Record<string, number>} found.gone the messages of a topic below this number may be gone
 */
function judge({ counts, read, files, isCalm, gone }) {
  const sum = {
    messages: 0,
    lost: 0,
    left: 0,
    duplicated: 0,
    duplicatedLive: 0,
    unordered: 0,
    filed: 0,
  }
  let calmFiled = 0
  const waits = []
  const topics = {}
  let lastFiled = 0
  for (const [topic, count] of Object.entries(counts)) {
    const inFile = files.of(topic)
    const arrived = arrivals(read[topic] ?? [])
    const of = { messages: count, filed: inFile.size, lost: 0 }
    for (let n = 0; n < count; n++) {
      const there = arrived.get(n)
      if (!there) {
        if (inFile.has(n)) sum.left++
        else if (n >= (gone[topic] ?? 0)) of.lost++
        continue
      }
      if (there.times > 1) {
        sum.duplicated++
        if (!inFile.has(n)) sum.duplicatedLive++
      }
      waits.push({
        topic,
        n,
        ms: Math.min(there.appended, inFile.get(n) ?? Infinity) - there.at,
        at: there.at,
      })
      if (!inFile.has(n)) continue
      lastFiled = Math.max(lastFiled, there.at)
      if (isCalm(topic, there.partition)) calmFiled++
    }
    sum.messages += count
    sum.lost += of.lost
    sum.filed += of.filed
    sum.unordered += countUnordered(read[topic] ?? [], inFile)
    topics[topic] = of
  }
  waits.sort((a, b) => b.ms - a.ms)
  return {
    ...sum,
    calmFiled,
    topics,
    longestMs: waits[0]?.ms ?? 0,
    over5s: waits.filter(({ ms }) => ms > 5000).length,
    worst: waits.slice(0, 3),
    lastFiled,
  }
}

/** By number: when it was queued, when it was first appended, how often it is there. */
function arrivals(messages) {
  const found = new Map()
  for (const { value, timestamp, partition } of messages) {
    const { n, at } = JSON.parse(value)
    const other = found.get(n)
    if (!other) found.set(n, { at, appended: timestamp, times: 1, partition })
    else {
      other.times++
      other.appended = Math.min(other.appended, timestamp)
    }
  }
  return found
}

/** Live messages that stand behind a later one of their key. A message counts where it is first. */
function countUnordered(messages, inFile) {
  const seen = new Set()
  const last = new Map()
  let count = 0
  for (const { partition, key, value } of messages) {
    const { n } = JSON.parse(value)
    if (inFile.has(n) || seen.has(n)) continue
    seen.add(n)
    const line = `${partition} ${key}`
    if (n < (last.get(line) ?? -1)) count++
    else last.set(line, n)
  }
  return count
}

module.exports = { judge }
