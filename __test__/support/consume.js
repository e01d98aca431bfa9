// Reads topics back with kafkajs, which shares no code with librdkafka.
//
// It fetches from the partitions' leaders, without a consumer group: kafkajs's public consumer
// needs one, which costs a join (3 s on librdkafka's mock cluster) and leaves a group behind. The
// price is the use of kafkajs's inner modules, so package.json pins its version.

require('./codecs')
const { setTimeout: delay } = require('node:timers/promises')
const Cluster = require('kafkajs/src/cluster')
const { createLogger, LEVELS } = require('kafkajs/src/loggers')
const LoggerConsole = require('kafkajs/src/loggers/console')
const createSocketFactory = require('kafkajs/src/network/socketFactory')
const { RETRY } = require('./client')

const LIMIT = 90_000
const READ_UNCOMMITTED = 0
const LEADER_MOVES = ['LEADER_NOT_AVAILABLE', 'NOT_LEADER_FOR_PARTITION']
const FETCH_BYTES = 10 * 1024 * 1024

/**
 * Everything in a topic, from its beginning to the end that it has at the call.
 *
 * @param {string} bootstrap `host:port`, several with commas
 * @param {string} topic
 * @param {object} [options]
 * @param {Record<number, number>} [options.fromOffsets] where to begin in a partition, if not at
 *   its first message
 * @param {object} [options.ssl] as kafkajs takes it
 * @returns {Promise<{partition: number, offset: number, key: Buffer | null, value: Buffer | null,
 *   timestamp: number, headers: object}[]>} by partition, then by offset
 */
function readTopic(bootstrap, topic, { fromOffsets = {}, ssl } = {}) {
  return onCluster(bootstrap, topic, ssl, async (cluster, progress) => {
    const ranges = await withLeader(cluster, () => findRanges(cluster, topic))
    const messages = []
    for (const { partition, low, high } of ranges) {
      let next = Math.max(low, fromOffsets[partition] ?? low)
      while (next < high) {
        progress.at = `${messages.length} messages read, partition ${partition} at ${next} of ${high}`
        const fetched = await withLeader(cluster, () => fetch(cluster, topic, partition, next))
        for (const message of fetched) {
          const offset = Number(message.offset)
          // A batch is sent whole, so it may begin before and end after what was asked for.
          if (offset < next || offset >= high) continue
          next = offset + 1
          if (!message.isControlRecord) messages.push(view(partition, offset, message))
        }
      }
    }
    return messages
  })
}

/** The number of offsets that a topic holds, over all its partitions. */
function topicEnd(bootstrap, topic, { ssl } = {}) {
  return onCluster(bootstrap, topic, ssl, async (cluster) => {
    const ranges = await withLeader(cluster, () => findRanges(cluster, topic))
    return ranges.reduce((sum, { low, high }) => sum + high - low, 0)
  })
}

// A broker that has just started or woken up may still be about to get its partitions back; every
// consumer asks for the leader again then. Ends with the limit at the latest: that disconnects.
async function withLeader(cluster, ask) {
  for (let stale = false; ; stale = true) {
    try {
      if (stale) await cluster.refreshMetadata()
      return await ask()
    } catch (error) {
      if (!LEADER_MOVES.includes(error.type)) throw error
      await delay(100)
    }
  }
}

async function onCluster(bootstrap, topic, ssl, use) {
  const cluster = new Cluster({
    logger: createLogger({ level: LEVELS.NOTHING, logCreator: LoggerConsole }),
    socketFactory: createSocketFactory(),
    brokers: bootstrap.split(','),
    ssl,
    clientId: 'kafka-publisher-tests',
    connectionTimeout: 3000,
    requestTimeout: LIMIT,
    enforceRequestTimeout: true,
    metadataMaxAge: LIMIT,
    retry: RETRY,
    allowAutoTopicCreation: false,
    maxInFlightRequests: null,
    isolationLevel: READ_UNCOMMITTED,
  })
  const progress = { at: 'not yet connected' }
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not read within ${LIMIT} ms`))
    }, LIMIT)
  })
  const reading = (async () => {
    await cluster.connect()
    await withLeader(cluster, () => cluster.addTargetTopic(topic))
    return use(cluster, progress)
  })()
  try {
    return await Promise.race([reading, limit])
  } catch (cause) {
    throw new Error(`topic ${topic}: ${cause.message} (${progress.at})`, { cause })
  } finally {
    clearTimeout(timer)
    // Ends what is still under way, too.
    await cluster.disconnect()
  }
}

async function findRanges(cluster, topic) {
  const ids = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
  const partitions = ids.map((partition) => ({ partition }))
  const [lows, highs] = await Promise.all(
    [true, false].map((fromBeginning) => offsets(cluster, { topic, partitions, fromBeginning }))
  )
  return ids
    .sort((a, b) => a - b)
    .map((partition) => ({ partition, low: lows[partition], high: highs[partition] }))
}

async function offsets(cluster, request) {
  const [{ partitions }] = await cluster.fetchTopicsOffset([request])
  return Object.fromEntries(partitions.map(({ partition, offset }) => [partition, Number(offset)]))
}

async function fetch(cluster, topic, partition, offset) {
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  if (nodeId === undefined) throw new Error(`partition ${partition} of ${topic} has no leader`)
  const broker = await cluster.findBroker({ nodeId })
  const { responses } = await broker.fetch({
    isolationLevel: READ_UNCOMMITTED,
    maxWaitTime: 1000,
    maxBytes: FETCH_BYTES,
    topics: [
      { topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES }] },
    ],
  })
  return responses.flatMap(({ partitions }) => partitions.flatMap(({ messages }) => messages))
}

const view = (partition, offset, { key, value, timestamp, headers }) => ({
  partition,
  offset,
  key,
  value,
  timestamp: Number(timestamp),
  headers,
})

module.exports = { readTopic, topicEnd }
