// Types of the package `kafka-publisher`, and what each option and count means.

/** Options of {@link KafkaPublisher}. Only `connectionString` is required. */
export interface KafkaPublisherOptions {
  /**
   * Comma list of seed brokers: `'127.0.0.1:9092,kafka2:9092'`. The port is 9092 if left out. A
   * scheme may precede each: `ssl://` (also `kafka+ssl://`) turns TLS on, `kafka://` does nothing.
   * Required, unless `producer['metadata.broker.list']` is given.
   */
  connectionString?: string
  /** Topic of messages that are queued without one. No default. */
  defaultTopic?: string
  /** Acknowledgements to wait for: -1 all in-sync replicas, 1 the leader, 0 none. Default -1. */
  requiredAcks?: number
  /** How long the broker may wait for its replicas, in milliseconds. Default 30000. */
  timeout?: number
  /**
   * Chooses the partition of each message. Default: Kafka's own (murmur2 of the key, as the Java
   * client). It is called on the JS thread, in the order of the messages; a failing one is logged,
   * and Kafka's own is used for those messages.
   */
  partitioner?: Partitioner
  /**
   * How long a message waits for Kafka before it goes to file: the sum of the delays, and at least
   * `batch.maxWait` and 500 ms. The default, 7 attempts from 100 ms to 1 s, is 2.8 s.
   */
  retries?: {
    /** Number of attempts, the first included. Default 7. */
    attempts?: number
    delay?: {
      /** Delay after the first attempt, in milliseconds, growing by as much each time. Default 100. */
      min?: number
      /** Longest delay, in milliseconds. Default 1000. */
      max?: number
    }
  }
  /** When messages are sent together. */
  batch?: {
    /** Send when so many bytes of keys and values are waiting. Default 16384. 0: send at once. */
    size?: number
    /** Send when the first of them has waited so many milliseconds. Default 100. */
    maxWait?: number
  }
  /** Compression: 0 none, 1 gzip, 2 snappy, or a name. Default 0. It never runs on the JS thread. */
  codec?: 0 | 1 | 2 | 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Name of this client in the broker's logs and quotas. Default `'no-kafka-client'`. */
  clientId?: string
  /**
   * TLS, named as in Node's `tls.connect`. It is on when there is a certificate with its key, a
   * `pfx`, or a CA, or a broker is given as `ssl://`. Each of `cert`, `key`, `ca` is PEM text or a file's path.
   */
  ssl?: {
    /** Client certificate. Default: environment `KAFKA_CLIENT_CERT`. */
    cert?: string | Uint8Array
    /** The client certificate's key. Default: environment `KAFKA_CLIENT_CERT_KEY`. */
    key?: string | Uint8Array
    /** Password of the key, or of `pfx`. */
    passphrase?: string
    /** Authorities that the broker's certificate is checked against. Default: environment `KAFKA_CLIENT_CA`. */
    ca?: string | Uint8Array | Array<string | Uint8Array>
    /** Check the broker's certificate and host name. Default `false`, as in 0.1.x: set it to `true`. */
    rejectUnauthorized?: boolean
    /** Path of a PKCS#12 file with certificate and key. */
    pfx?: string
    /** OpenSSL cipher list for TLS 1.2. */
    ciphers?: string
    /** OpenSSL list of curves. */
    ecdhCurve?: string
    /** OpenSSL list of signature algorithms. */
    sigalgs?: string
    /** Path of a certificate revocation list. */
    crl?: string
    [name: string]: unknown
  }
  /** Accepted for compatibility: compression never runs on the JS thread. Default `true`. */
  asyncCompression?: boolean
  /**
   * Replaces the address of each broker, given or learned, before it is connected to: a map of
   * `'host:port'` to `'host:port'`, or a function. `true` and `false` do nothing. Default `false`.
   * TLS goes on checking the name that the broker has announced.
   */
  brokerRedirection?:
    | boolean
    | Record<string, string>
    | ((host: string, port: number) => { host: string; port: number })
  /** Delay before a lost broker is connected to again. */
  reconnectionDelay?: {
    /** First delay, in milliseconds, doubling each time. Default 1000. */
    min?: number
    /** Longest delay, in milliseconds. Default 10000. */
    max?: number
  }
  /** Where log lines go. Default: stderr, errors and warnings always, the rest under `DEBUG=kafka-publisher:*`. */
  logger?: LogSettings | Logger
  /** How `init()` and the background probe try again while Kafka does not answer. */
  retryOptions?: RetryOptions
  /** Where messages go while Kafka does not take them. */
  fallback?: {
    /**
     * `false`: no files. What Kafka does not take is discarded, counted (`discardedCnt.fallbackOff`) and
     * logged. Default `true`.
     */
    enabled?: boolean
    /**
     * Directory of the fallback files; made when it is needed. Default `'kafkaFallbackLogs'`. Choose a
     * file system that outlives the container; it may be shared by all nodes.
     */
    directory?: string
    /** How writing is tried again before messages are discarded. Default 5 retries from 100 ms to 2 s. */
    retryOptions?: RetryOptions
    /** When lines are synced to the disk: `'interval'` is once a second. Default `'interval'`. */
    fsync?: 'never' | 'interval' | 'always'
    /** A file is closed before it grows past so many bytes. Default 64 MiB. */
    segmentBytes?: number
    /** Mode of a directory that is made. Default 0o700. */
    directoryMode?: number
    /** Mode of the files. Default 0o600. */
    fileMode?: number
    /**
     * Most bytes of all fallback files in the directory. What is discarded at the cap (`whenFull`) is
     * logged and counted as `discardedCnt.fallbackFull`. No cap by default.
     */
    maxBytes?: number
    /**
     * What is discarded at the cap: the messages that come, or this publisher's oldest file. Default
     * `'discardNewest'`.
     */
    whenFull?: 'discardNewest' | 'discardOldest'
    /**
     * Messages in files that are older than so many milliseconds are not published, but kept in
     * `.rejected` files. No limit by default.
     */
    maxAge?: number
    /** What is kept in `.rejected` files of messages that could not be published. No limits by default. */
    rejected?: {
      /** Most bytes of all of them in the directory; the oldest are removed. */
      maxBytes?: number
      /** Milliseconds after which one is removed. */
      maxAge?: number
    }
    /**
     * Messages that the broker refuses for good, too large ones included, are kept in a `.rejected` file
     * and counted as `replay.rejectedCnt`, rather than discarded. Default `false`.
     */
    keepRefused?: boolean
    /** Whether and how fallback files are published again when Kafka is there. Default `true`. */
    replay?:
      | boolean
      | {
          /** Default `true`. */
          enabled?: boolean
          /** Most messages from files per second. No limit by default. */
          maxMessagesPerSecond?: number
          /** What becomes of a file that was replayed: `'archive'` moves it to `archive/`. Default `'delete'`. */
          keep?: 'delete' | 'archive'
        }
  }
  /**
   * The key on the wire: `'json'` is `JSON.stringify(key)`, as 0.1.x has it, quotes included; `'raw'`
   * puts a string key there as it is. Default `'json'`.
   */
  keyEncoding?: 'json' | 'raw'
  /**
   * Most memory for messages, in bytes, librdkafka's included; a message counts 256 bytes beside its
   * own. What does not fit goes to file. Default 64 MiB.
   */
  maxBufferedBytes?: number
  /**
   * SASL by OAUTHBEARER with tokens of your own: AWS MSK with IAM, and others. Called on the JS thread when
   * a client needs the first, and when four fifths of a token's life are over, also while nothing is
   * published. One that fails is logged and counted, and called again. It turns SASL on; `producer` need not.
   */
  oauthToken?: () => OauthToken | Promise<OauthToken>
  /**
   * Properties of librdkafka, by its own names, such as `'sasl.mechanisms'`. They win over what the
   * other options come to.
   */
  producer?: Record<string, string | number | boolean>
}

/** A token for SASL OAUTHBEARER. */
export interface OauthToken {
  value: string
  /** Who it is for. Default `''`. */
  principal?: string | null
  /** When it expires, in milliseconds since 1970; a number below 10^11: in how many milliseconds. */
  lifetimeMs: number
  /** SASL extensions. Default: none. */
  extensions?: Record<string, string> | null
}

/** Delays grow by `factor` from `minTimeout` to `maxTimeout`. */
export interface RetryOptions {
  /** Number of retries; `null` for the default. */
  retries?: number | null
  /** Never give up; wins over `retries`. */
  forever?: boolean
  /** Default 2. */
  factor?: number
  /** First delay, in milliseconds. Default 1000; 100 for `fallback.retryOptions`. */
  minTimeout?: number
  /** Longest delay, in milliseconds. Default 10000; 2000 for `fallback.retryOptions`. */
  maxTimeout?: number
  /** Multiply each delay by a random number from 1 to 2, up to `maxTimeout`. Default `true`. */
  randomize?: boolean
}

/** As no-kafka has it. */
export interface Partitioner {
  /** Returns the chosen `partitionId`, or a promise of it. `message` has the JSON text of key and value. */
  partition(
    topicName: string,
    partitions: PartitionMetadata[],
    message: { key: string; value: string }
  ): number | Promise<number>
}

/** A partition of a topic, as Kafka describes it. */
export interface PartitionMetadata {
  /** Always `null`; kept for no-kafka's partitioners. */
  error: null
  /** Number of the partition, from 0. */
  partitionId: number
  /** Id of the leading broker; -1 without one. */
  leader: number
  /** Ids of the brokers that have a replica. */
  replicas: number[]
  /** Ids of those that are in sync. */
  isr: number[]
}

export interface LogSettings {
  /** 0 nothing, 1 errors, 2 and warnings, 3 and information, 4 and debugging, 5 all. Default 5. */
  logLevel?: number
  /** Called with each line. What it throws is written to stderr. */
  logFunction?(
    level: 'ERROR' | 'WARN' | 'INFO' | 'DEBUG' | 'TRACE',
    clientId: string,
    ...args: unknown[]
  ): void
}

/** A logger such as pino's, winston's or `console`. */
export interface Logger {
  error(...args: unknown[]): unknown
  warn?(...args: unknown[]): unknown
  info?(...args: unknown[]): unknown
  debug?(...args: unknown[]): unknown
}

/**
 * All counts of a publisher, at one moment. At any moment
 * `queueCnt + discardedCnt.noTopic + recoveredCnt + carriedCnt` is
 * `curQueuedCnt + fallback.messages + sentCnt + discardedCnt.total + replay.rejectedCnt + handedOverCnt`.
 */
export interface KafkaPublisherStatistics {
  /** Calls of `queue()` with a topic. */
  queueCnt: number
  /** Messages in memory now. */
  curQueuedCnt: number
  /** Messages that Kafka has acknowledged. */
  sentCnt: number
  /** Errors: discarded messages, and failures of Kafka. */
  errorCnt: number
  /** Probes for Kafka while it was away. */
  backgroundRetries: number
  /** When the last error was, as `Date.prototype.toUTCString` writes it. */
  lastErrorTs?: string
  /** The last error. */
  lastError?: string
  /** When counting began: the start, or the last `resetStatistics()`. Text as of `Date.prototype.toUTCString`. */
  lastReset: string
  /** The writer of fallback files. */
  filePublisher: {
    /** Messages written to fallback files. */
    mesgCnt: number
    /** Failed attempts to write. */
    errorCnt: number
    lastErrorTs?: string
    lastError?: string
    lastReset: string
  }
  /** Messages go to Kafka: `state` is `'publishing'`. */
  kafkaReady: boolean
  /** Kafka has not answered yet: `state` is `'connecting'`. */
  kafkaPending: boolean
  /** Kafka is away and probed in the background: `state` is `'fallingBack'`. */
  backgroundRetrying: boolean
  state: State
  /** Changes of `state`. */
  stateChangeCnt: number
  /** Discarded messages, by reason. Each was logged. */
  discardedCnt: {
    /** The key was null, undefined, a boolean, a symbol or a function, or has no JSON text. */
    badKey: number
    /** The message was no object, or has no JSON text. */
    badValue: number
    /** Its headers, partition or timestamp are not valid, or could not be read. */
    badOptions: number
    /** No topic was given, and there is no `defaultTopic`. */
    noTopic: number
    /** Kafka can have no topic of that name. */
    badTopic: number
    /** The broker refused it as too large, or it exceeds `maxBufferedBytes`. */
    tooLarge: number
    /** Queued after `end()`. */
    ended: number
    /** The broker refused it for good for another reason. */
    refused: number
    /** `maxBufferedBytes` was used up: neither Kafka nor the disk kept pace. */
    bufferFull: number
    /** The fallback file could not be written. */
    fallbackFailed: number
    /** The fallback directory had reached `fallback.maxBytes`. */
    fallbackFull: number
    /** The fallback file was removed by somebody else. */
    fileRemoved: number
    /** Kafka did not take it, and `fallback.enabled` is `false`. */
    fallbackOff: number
    /** A bug in kafka-publisher kept the message from being taken; the log says which. */
    internalError: number
    /** All of them. */
    total: number
  }
  /** Messages that went to file because memory was full. */
  spilledCnt: number
  /** Messages taken over from files of earlier processes. */
  recoveredCnt: number
  /** Messages in files that another publisher has taken over, taking this one for dead. */
  handedOverCnt: number
  /** Messages in memory and on disk at the last `resetStatistics()`. */
  carriedCnt: number
  /** Bytes of keys and values that wait to be handed to librdkafka. */
  queuedBytes: number
  /** Messages handed to librdkafka and not acknowledged. */
  inFlightCnt: number
  /** Bytes of their keys and values. */
  inFlightBytes: number
  /** From handing a message to librdkafka to its acknowledgement, in milliseconds. */
  ackLatency: { count: number; p50: number; p99: number; max: number }
  /** Fallback files of this publisher, and those that it has taken over. */
  fallback: {
    /** Absolute path of the directory. */
    directory: string
    files: number
    messages: number
    bytes: number
    /** Messages on their way to the file; counted in `curQueuedCnt`. */
    pendingCnt: number
  }
  /** The way of fallback files back to Kafka. */
  replay: {
    /**
     * `'off'` by option; `'idle'`: there are no files; `'waiting'`: for Kafka, for a topic in trouble or
     * for a disk in trouble; `'replaying'`.
     */
    state: 'off' | 'idle' | 'waiting' | 'replaying'
    /** Files that wait to be replayed: all but the one that is being written. */
    files: number
    /** Bytes of them that are left. */
    bytes: number
    /** Messages in them that are left. */
    messages: number
    /** Messages from files that Kafka has acknowledged; `sentCnt` counts them, too. */
    replayedCnt: number
    /** Lines that are no message, and messages refused for good: kept in `.rejected` files. */
    rejectedCnt: number
    /** Lines that only a later version can publish; they stay in their files. */
    heldCnt: number
    /** Messages from files that are handed to librdkafka; still counted in `fallback.messages`. */
    inFlightCnt: number
    /** When the oldest message in them was queued, as `Date.prototype.toUTCString` writes it. */
    oldestTs?: string
    /** Name of the file that is being replayed. */
    file?: string
    /** How long the rest will take at the rate of the last seconds, in milliseconds; an estimate. */
    timeLeftMs?: number
  }
  /** What the counts do not account for: always 0, or there is a bug. */
  unaccountedCnt: number
}

/** What can be published: an object, an array, anything with a JSON text but a function or a primitive. */
export type Message =
  | { readonly [name: string]: unknown; readonly apply?: never }
  | (object & { readonly apply?: never })

/** A key: messages of one key go to one partition, in order. */
export type Key = string | number | Message

/** A stream of Node.js. Empty where its types are not installed. */
declare global {
  namespace NodeJS {
    interface WritableStream {}
  }
}

/** A header's value. Text is on the wire as UTF-8. */
export type HeaderValue = string | Uint8Array | null

/** A message's headers, in their order; a name that occurs more than once has an array, or several pairs. */
export type MessageHeaders =
  | { readonly [name: string]: HeaderValue | readonly HeaderValue[] }
  | ReadonlyArray<readonly [name: string, value: HeaderValue]>

/** What a message may have beside key and value. All of it is kept in an outage. */
export interface MessageOptions<Topic extends string = string> {
  /** Default: `defaultTopic`. */
  topic?: Topic
  /** Default: none. */
  headers?: MessageHeaders | null
  /**
   * Number of the partition. Default: chosen by the key, or by the option `partitioner`. A partition that
   * the topic does not have is in trouble: its messages wait in a file.
   */
  partition?: number | null
  /** Milliseconds since 1970, or a `Date`. Default: the time of the call. */
  timestamp?: number | Date | null
  /**
   * Called once, when it is known what became of the message: `error` if it was discarded. Not taken by
   * `publish()` and `publishRecord()`, which return a promise of the same.
   */
  onDelivery?: ((error: DiscardedError | null, receipt?: Receipt) => void) | null
}

/** What became of a message that was not discarded. */
export type Receipt =
  | {
      /** Kafka has acknowledged it. */
      outcome: 'kafka'
      topic: string
      partition: number
      /** `null` where Kafka does not say: `requiredAcks: 0`. */
      offset: number | null
      /** The message's time, in milliseconds since 1970: the broker's own where the topic has that. */
      timestamp: number
      /** Bytes of its value. */
      size: number
    }
  | {
      /** It is in a fallback file, and goes to Kafka from there. Nothing more is told of it. */
      outcome: 'file'
      topic: string
    }

/** A message was discarded. `code` says why, as `discardedCnt` counts it. */
export interface DiscardedError extends Error {
  code:
    | 'ERR_KAFKA_PUBLISHER_BAD_KEY'
    | 'ERR_KAFKA_PUBLISHER_BAD_VALUE'
    | 'ERR_KAFKA_PUBLISHER_BAD_OPTIONS'
    | 'ERR_KAFKA_PUBLISHER_NO_TOPIC'
    | 'ERR_KAFKA_PUBLISHER_BAD_TOPIC'
    | 'ERR_KAFKA_PUBLISHER_TOO_LARGE'
    | 'ERR_KAFKA_PUBLISHER_ENDED'
    | 'ERR_KAFKA_PUBLISHER_REFUSED'
    | 'ERR_KAFKA_PUBLISHER_BUFFER_FULL'
    | 'ERR_KAFKA_PUBLISHER_FALLBACK_FAILED'
    | 'ERR_KAFKA_PUBLISHER_FALLBACK_FULL'
    | 'ERR_KAFKA_PUBLISHER_FALLBACK_OFF'
    | 'ERR_KAFKA_PUBLISHER_INTERNAL_ERROR'
  /** The message's topic; `undefined` if there was none. */
  topic?: string
}

/** A publisher's state, as `getStatistics().state` has it. */
export type State = 'created' | 'connecting' | 'publishing' | 'fallingBack' | 'ended'

/** What a publisher's listeners are called with. */
export interface KafkaPublisherEvents {
  /** The state is another one. */
  state: [to: State, from: State]
  /**
   * Messages were discarded: so many of this topic since the last event, for this reason (a name of
   * `discardedCnt`). `topic` is `undefined` where it is not known: of a file that was removed, say.
   */
  discard: [{ topic?: string; reason: string; count: number }]
  /** All messages of a fallback file are in Kafka, or kept in its `.rejected` file. */
  replayed: [{ file: string }]
  /** So many messages went to file because memory was full. */
  spill: [{ count: number }]
}

/** What ends the waiting for a promise: Node.js's own `AbortSignal`, or one like it. */
export interface AbortSignalLike {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** A message as it is on the wire. */
export interface RawRecord extends MessageOptions {
  /** Default, and `null`: none; then it goes to any partition. */
  key?: string | Uint8Array | null
  /** Default, and `null`: none, which is a tombstone. */
  value?: string | Uint8Array | null
}

/**
 * Publishes to Kafka in the background, and to a file while Kafka is away.
 *
 * `Topics` has the type of each topic's messages: `KafkaPublisher<{ orders: Order; users: User }>`.
 * Without it, any message may go to any topic.
 */
export declare class KafkaPublisher<
  Topics extends { [Topic in keyof Topics]: object } = Record<string, Message>,
> {
  /**
   * Makes a publisher and its Kafka client, which begins to connect at once. Nothing is awaited.
   *
   * Throws an `Error` that names the option, what it got and what it takes, when an option is
   * wrong. `options` is copied, each of its own properties read once: later changes have no effect.
   */
  constructor(options: KafkaPublisherOptions)

  /**
   * Queues a message. Copies it and returns at once; never throws, blocks, or returns a promise. A
   * message that can't be published is logged, counted in `discardedCnt` and dropped. Called on
   * anything but a publisher, it tells stderr and returns `false`.
   *
   * @param key string, number or object; messages of one key go to one partition, in order
   * @param message object; its JSON text is published. It is serialised once, or twice if it refers to
   *   itself
   * @param topic default: `defaultTopic`; an object has headers, a partition or a time as well
   * @returns `false` when memory is nearly full and what follows may go to file; see `drained()`
   */
  queue(key: Key, message: Topics[keyof Topics]): boolean
  queue<Topic extends keyof Topics & string>(
    key: Key,
    message: Topics[Topic],
    topic: Topic | MessageOptions<Topic> | undefined
  ): boolean

  /**
   * Queues a message without a value: what deletes its key from a compacted topic. Otherwise as
   * `queue()`.
   *
   * @param key as `queue()` takes and encodes it
   * @param topic default: `defaultTopic`
   */
  tombstone(
    key: Key,
    topic?: (keyof Topics & string) | MessageOptions<keyof Topics & string>
  ): boolean

  /**
   * Queues a message whose key and value are on the wire as they are here: Avro, Protobuf, text, anything.
   * Otherwise as `queue()`. What is not valid is counted in `discardedCnt.badOptions`, `badKey` or
   * `badValue`.
   */
  queueRecord(record: RawRecord): boolean

  /**
   * Queues a message as `queue()` does, and resolves with what became of it: it is in Kafka, or in a
   * fallback file. Rejects with a {@link DiscardedError} when it is discarded.
   *
   * None stays pending: what is not acknowledged within the retry window goes to file. After `end()`
   * it rejects with `ERR_KAFKA_PUBLISHER_ENDED`. At most 16,777,215 can be pending.
   */
  publish(key: Key, message: Topics[keyof Topics]): Promise<Receipt>
  publish<Topic extends keyof Topics & string>(
    key: Key,
    message: Topics[Topic],
    topic: Topic | MessageOptions<Topic> | undefined
  ): Promise<Receipt>

  /** `queueRecord()` with a promise, as `publish()` has one. */
  publishRecord(record: RawRecord): Promise<Receipt>

  /**
   * Calls `listener` when something happens: see {@link KafkaPublisherEvents}. The same is told on
   * the channels `kafka-publisher:state` and so on of `diagnostics_channel`, with the `publisher`. What
   * happens often is told together. There is no event `error`. What a listener throws is an
   * uncaught exception.
   */
  on<Name extends keyof KafkaPublisherEvents>(
    name: Name,
    listener: (...args: KafkaPublisherEvents[Name]) => void
  ): this
  once<Name extends keyof KafkaPublisherEvents>(
    name: Name,
    listener: (...args: KafkaPublisherEvents[Name]) => void
  ): this
  off<Name extends keyof KafkaPublisherEvents>(
    name: Name,
    listener: (...args: KafkaPublisherEvents[Name]) => void
  ): this
  /** As `on`. */
  addListener<Name extends keyof KafkaPublisherEvents>(
    name: Name,
    listener: (...args: KafkaPublisherEvents[Name]) => void
  ): this
  /** As `off`. */
  removeListener<Name extends keyof KafkaPublisherEvents>(
    name: Name,
    listener: (...args: KafkaPublisherEvents[Name]) => void
  ): this
  listenerCount(name: keyof KafkaPublisherEvents): number

  /**
   * Resolves when Kafka has answered for the first time.
   *
   * Need not be awaited, nor called: `queue()` works before, and messages wait for Kafka no longer
   * than the retry window before they go to file. It waits for ever by default, keeping the event
   * loop alive; with `retryOptions.retries` it rejects after so many tries. `end()` resolves it. An
   * aborted `signal` rejects it, with the signal's reason; the publisher goes on.
   */
  init(options?: { signal?: AbortSignalLike | null }): Promise<void>

  /**
   * Ends the publisher: accepts nothing any more, gives Kafka the retry window to acknowledge what
   * is in memory, writes the rest to the fallback file, and closes.
   *
   * Resolves when every message is accounted for, and the logger has got every line; a second call
   * resolves, too. It never rejects. Where messages wait for ever (`message.timeout.ms: 0`), Kafka is
   * given 30 s. `await using kp = new KafkaPublisher(…)` calls it by itself, where the runtime knows of
   * that.
   *
   * @param options `timeoutMs`: how long Kafka is given, in milliseconds, rather than the retry window. 0
   *   writes everything to file at once.
   */
  end(options?: { timeoutMs?: number | null }): Promise<void>

  /**
   * Resolves when there is room in memory again, after `queue()` has returned `false`. An aborted
   * `signal` rejects it, with the signal's reason.
   */
  drained(options?: { signal?: AbortSignalLike | null }): Promise<void>

  /**
   * A `Writable` in object mode that queues what is written to it, and waits while memory is nearly
   * full: `pipeline(source, kp.writable({ topic: 'orders', key: (order) => order.id }), done)`.
   *
   * It is finished when all is queued; `end()` is what publishes the rest. It fails with what `key`
   * throws.
   */
  writable<Topic extends keyof Topics & string>(options: {
    /** Default: `defaultTopic`. */
    topic?: Topic
    /** The key of a message, or one key for all. A function is called with each message. */
    key: ((message: Topics[Topic]) => Key) | Exclude<Key, (...args: never[]) => unknown>
  }): NodeJS.WritableStream

  /** @deprecated As 3.x had it: use `end()`, or `kafka-publisher/v3`. */
  shutdown(): Promise<void>
  /** @deprecated As 3.x had it: use `end()`, or `kafka-publisher/v3`. */
  disconnect(): Promise<void>
  /** @deprecated As 3.x had it: use `init()`, or `kafka-publisher/v3`. */
  connect(): Promise<void>
  /** @deprecated As 3.x had it: use `queued()`, or `kafka-publisher/v3`. */
  pending(): number

  /** The number of messages in memory: not acknowledged, not in a file, not discarded. */
  queued(): number

  /** All counts at one moment, as plain JSON. */
  getStatistics(): KafkaPublisherStatistics

  /** Sets all counters to zero. What is in memory and on disk stays counted. */
  resetStatistics(): void
}
