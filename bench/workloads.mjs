// What is measured, with whom, and how much of it. Each workload is a task (tasks/) with a size.

// librdkafka's batches are for one partition each, and a broker takes 1 MiB for one. The clients that are
// given whole batches send each to all three partitions; they have a size of their own with which they
// are the fastest, and `batchBytes` as its limit.
const TUNED = { linger: 5, batch: 1_000_000 }
const DEFAULTS = { linger: 100, batch: 16_384, batchBytes: 3 * 16_384, defaults: true }

const PEERS = ['platformatic', 'platformatic-send', 'node-rdkafka', 'kafkajs', 'original']
const ALL = ['addon', ...PEERS, 'librdkafka', 'stringify']
/** Run only when asked for by name. */
export const EXTRA = ['librdkafka-idempotent']
export const CONTENDERS = [...ALL, ...EXTRA]
// kafka-publisher 3.2.0 is loaded by the package `esm`, which fails on newer versions.
const ONLY_ON = { original: ['20'] }

const throughput = (title, more) => ({
  title,
  task: 'throughput',
  place: 'topic',
  settings: TUNED,
  bytes: 170,
  messages: 1_000_000,
  warmUp: 20_000,
  contenders: [...ALL, ...EXTRA],
  ...more,
})

/**
 * `place`: where messages go: to a topic, to files, or nowhere. `contenders`: all who can do it.
 *
 * @type {Record<string, object>}
 */
export const WORKLOADS = {
  small: throughput('170 bytes', {}),
  '1k': throughput('1 KB', { bytes: 1024, messages: 300_000, warmUp: 10_000 }),
  '10k': throughput('10 KB', { bytes: 10_240, messages: 50_000, warmUp: 2000 }),
  defaults: throughput("170 bytes, the README's default options for all", {
    settings: DEFAULTS,
  }),
  lz4: throughput('170 bytes, lz4', {
    settings: { ...TUNED, codec: 'lz4' },
    // kafkajs has no lz4 of its own.
    contenders: CONTENDERS.filter((name) => name !== 'kafkajs' && name !== 'stringify'),
  }),
  headers: throughput('170 bytes and two headers of 60', {
    settings: { ...TUNED, way: 'headers' },
    contenders: ['addon'],
  }),
  record: throughput('170 bytes that are bytes already, by queueRecord()', {
    settings: { ...TUNED, way: 'record' },
    contenders: ['addon'],
  }),
  promises: throughput('a promise for each message, at most 10,000 pending', {
    settings: { ...TUNED, promises: 10_000 },
    messages: 300_000,
    contenders: ['addon', 'platformatic-send', 'kafkajs'],
  }),
  queue: {
    title: 'one call of queue(), publisher otherwise idle',
    task: 'queue',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    bursts: 400,
    contenders: ['addon', 'node-rdkafka', 'original'],
  },
  loop: {
    title: 'event loop at 50,000 messages/s of 170 bytes',
    task: 'loop',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    perSecond: 50_000,
    seconds: 30,
    contenders: ['addon', ...PEERS, 'stringify'],
  },
  latency: {
    title: 'acknowledgement at 10,000 messages/s of 170 bytes, linger 5 ms, one partition',
    task: 'latency',
    place: 'topic',
    partitions: 1,
    settings: TUNED,
    bytes: 170,
    perSecond: 10_000,
    seconds: 15,
    contenders: ['addon', ...PEERS],
  },
  load: {
    title: 'loading the package',
    task: 'load',
    place: 'nowhere',
    settings: {},
    contenders: ['addon', ...PEERS.filter((name) => name !== 'platformatic-send')],
  },
  fallback: {
    title: 'to file, without a Kafka, 170 bytes',
    task: 'fallback',
    place: 'files',
    settings: TUNED,
    bytes: 170,
    messages: 500_000,
    contenders: ['addon', 'original'],
  },
  memory: {
    title: 'memory while messages are queued without a Kafka, 170 bytes',
    task: 'memory',
    place: 'files',
    settings: TUNED,
    bytes: 170,
    messages: 5_000_000,
    contenders: ['addon'],
  },
  replay: {
    title: 'out of files into Kafka, beside live messages, 170 bytes',
    task: 'replay',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    messages: 1_000_000,
    warmUp: 20_000,
    contenders: ['addon'],
  },
  ...Object.fromEntries(
    [1000, 10_000, 100_000].map((count) => [
      `files-${count}`,
      {
        title: `one file of one message for each of ${count.toLocaleString('en')} dead processes`,
        task: 'files',
        place: 'topic',
        settings: TUNED,
        bytes: 170,
        messages: count,
        contenders: ['addon'],
      },
    ])
  ),
  elsewhere: {
    title: 'the same for 10,000 that died on another machine',
    task: 'files',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    messages: 10_000,
    elsewhere: true,
    contenders: ['addon'],
  },
  living: {
    title: 'an idle publisher among 10,000 others that live and have files',
    task: 'living',
    place: 'topic',
    settings: { defaults: true },
    bytes: 170,
    files: 10_000,
    seconds: 60,
    contenders: ['addon'],
  },
  large: {
    title: '50 GB in 800 files, begun anew four times',
    task: 'large',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    files: 800,
    size: 64 * 2 ** 20,
    contenders: ['addon'],
  },
  'replay-latency': {
    title: 'live acknowledgement at 10,000 messages/s, without and with a replay',
    task: 'replay-latency',
    place: 'topic',
    settings: TUNED,
    bytes: 170,
    messages: 4_000_000,
    perSecond: 10_000,
    seconds: 15,
    contenders: ['addon'],
  },
}

const QUIET = { linger: 0, batch: 16_384 }
// What goes to file is in the result.
const SILENT = { logger: { logLevel: 1 } }

// On a Kafka of the task's own, behind a proxy.
Object.assign(WORKLOADS, {
  first: {
    title: 'from the start of loading to the first acknowledgement, default options',
    task: 'first',
    place: 'topic',
    settings: QUIET,
    bytes: 170,
    contenders: [
      'addon',
      ...PEERS.filter((name) => name !== 'platformatic' && name !== 'original'),
    ],
  },
  back: {
    title: "from Kafka's port being open again to publishing, after outages of 5, 40 and 60 s",
    task: 'back',
    place: 'nowhere',
    settings: { defaults: true, ...SILENT },
    outages: [5, 40, 60],
    times: 5,
    perSecond: 500,
    contenders: ['addon'],
  },
  ...Object.fromEntries(
    [20, 100, 200].flatMap((roundTrip) =>
      [6, 100].map((partitions) => [
        `rtt-${roundTrip}-${partitions}`,
        {
          title: `2,000 messages/s of 170 bytes, ${roundTrip} ms away, ${partitions} partitions`,
          task: 'rtt',
          place: 'nowhere',
          settings: { ...TUNED, ...SILENT },
          bytes: 170,
          perSecond: 2000,
          seconds: 12,
          roundTrip,
          partitions,
          contenders: ['addon', ...PEERS.filter((name) => name !== 'original')],
        },
      ])
    )
  ),
  topics: {
    title: '10,000 topics, 2,000 messages/s, default options',
    task: 'topics',
    place: 'nowhere',
    settings: { defaults: true, ...SILENT },
    topics: 10_000,
    roundTrip: 0,
    messages: 20_000,
    perSecond: 2000,
    contenders: ['addon'],
  },
  'topics-partitioner': {
    title: 'a partitioner, 100 topics, 50 ms away, one message each',
    task: 'topics',
    place: 'nowhere',
    settings: { defaults: true, ...SILENT },
    topics: 100,
    roundTrip: 50,
    messages: 100,
    perSecond: 2000,
    partitioned: true,
    contenders: ['addon'],
  },
})

/** Names that stand for several workloads. */
export const GROUPS = {
  ...Object.fromEntries(
    ['rtt', 'files'].map((kind) => [
      kind,
      Object.keys(WORKLOADS).filter((name) => name.startsWith(`${kind}-`)),
    ])
  ),
}

const QUICK = { messages: 50_000, warmUp: 2000, bursts: 50, seconds: 3, times: 1 }

/** The workload with that name, smaller if `quick`, or with another number of messages. */
export function workload(name, { quick, messages }) {
  const found = { name, partitions: 3, ...WORKLOADS[name] }
  for (const [part, most] of Object.entries(quick ? QUICK : {})) {
    if (part in found) found[part] = Math.min(found[part], most)
  }
  if (messages !== undefined && 'messages' in found) {
    found.messages = messages
    if ('warmUp' in found) found.warmUp = Math.min(found.warmUp, messages)
  }
  return found
}

/** Those who can do a workload on this version of Node.js. */
export function contendersOf(work, major) {
  return work.contenders.filter((name) => !ONLY_ON[name] || ONLY_ON[name].includes(major))
}
