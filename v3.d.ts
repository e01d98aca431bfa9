// Types of `kafka-publisher/v3`: the class of kafka-publisher 3.2.0 on the engine of 4.

import type { KafkaPublisherOptions, RetryOptions } from './index.js'

/** Options of 3.2.0. `ssl`, `maxBufferedBytes`, `brokerRedirection`, `reconnectionDelay` and `oauthToken` are those of 4. */
export interface KafkaPublisherV3Options
  extends Pick<
    KafkaPublisherOptions,
    | 'connectionString'
    | 'defaultTopic'
    | 'ssl'
    | 'maxBufferedBytes'
    | 'brokerRedirection'
    | 'reconnectionDelay'
    | 'oauthToken'
  > {
  /** Properties of librdkafka. `'message.timeout.ms'`, 10100 by default, is how long a message waits for Kafka. */
  producer?: Record<string, string | number | boolean>
  /** Accepted, without effect. */
  producerPollIntervalMs?: number
  /** Accepted, without effect. */
  consecutiveKafkaErrorCntReconnectThreshold?: number
  /** Accepted, without effect. */
  kafkaReadyOrErrorOrTimeoutMs?: number
  /** Accepted, without effect. */
  kafkaReadyOrErrorOrTimeoutPollMs?: number
  /** How `init()` and the background probe try again. For ever by default. */
  retryOptions?: RetryOptions
  /** As of 4; `keepRefused` is `true`. `instanceId` is without effect. */
  fallback?: KafkaPublisherOptions['fallback'] & { instanceId?: string }
  /**
   * Options of pino, of which a logger is made if pino is installed (else `level` counts, and lines go to
   * stderr); or a logger. `prettyPrint` is without effect.
   */
  logging?: object
}

/** What Kafka said of a message. */
export interface DeliveryReport {
  topic: string
  partition: number
  offset: number | null
  /** The key on the wire. */
  key: Uint8Array
  /** The message's number, from 0. */
  opaque: number
  /** Milliseconds since 1970. */
  timestamp: number
  /** Bytes of the value. */
  size: number
}

/** Statistics of 3.2.0. */
export interface KafkaPublisherV3Statistics {
  /** Calls of `queue()`. */
  mesgCnt: number
  /** Of these, handed to Kafka. */
  queueCnt: number
  /** Acknowledged; replayed messages do not count. */
  ackSuccessCnt: number
  /** Refused by Kafka for good. */
  ackErrorCnt: number
  lastStatsReset: string
  filePublisher: {
    readySeq: number
    mesgCnt: number
    errorCnt: number
    lastErrorTs?: string
    lastError?: string
    lastReset: string
  }
  kafkaReady: boolean
  consecutiveKafkaErrorCnt: number
  kafkaEventErrorCnt: number
  lastKafkaEventError: string | null
  initExecuting: boolean
  connExecuting: boolean
}

/** The default options of 3.2.0. */
export declare const defaultOptions: KafkaPublisherV3Options

/** kafka-publisher 3.2.0's class. Keys are strings, on the wire as they are, or numbers, as their text. */
export declare class KafkaPublisher {
  /** Throws an `Error` when an option is wrong; 3.2.0 ended the process. */
  constructor(options: KafkaPublisherV3Options)
  /** The options, merged with the defaults. */
  readonly options: KafkaPublisherV3Options
  init(): Promise<void>
  /** As `init()`; after `disconnect()` a new connection. */
  connect(): Promise<void>
  /** What is in memory goes to Kafka, or to a file; 3.2.0 forgot it. */
  shutdown(): Promise<void>
  /** As `shutdown()`. */
  disconnect(): Promise<void>
  /**
   * Queues a message.
   *
   * @param topic `null` or `undefined`: `defaultTopic`
   * @param callback called once: with a report when Kafka has acknowledged the message, with an error when it
   *   was discarded or is in a fallback file (`code` is `ERR_KAFKA_PUBLISHER_FILED`)
   */
  queue(
    key: string | number,
    value: object,
    topic?: string | null,
    callback?: (error: Error | null, report?: DeliveryReport) => void
  ): void
  queueMessages(
    messages: Iterable<{ key: string | number; message: object; topic?: string | null }>
  ): void
  /** The number of messages that are not acknowledged and not in a file. */
  pending(): number
  getStatistics(): KafkaPublisherV3Statistics
  resetStatistics(): void
}
