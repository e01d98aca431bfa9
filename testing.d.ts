/**
 * A Kafka cluster inside this process, for tests that need neither Docker nor a JVM: brokers on real
 * TCP ports of 127.0.0.1 that any Kafka client can talk to, and that fail on command.
 *
 * ```js
 * const { MockCluster } = require('kafka-publisher/testing')
 *
 * const kafka = new MockCluster()
 * const publisher = new KafkaPublisher({ connectionString: kafka.connectionString })
 * // …
 * kafka.brokerDown() // an outage
 * kafka.brokerUp()
 * const messages = await kafka.readTopic('my-topic')
 * kafka.close()
 * ```
 *
 * It is librdkafka's mock cluster, which knows what a producer and a consumer need:
 * - Topics are in memory. A partition keeps at most 5 MB or 100,000 batches, as they are on the
 *   wire; then the oldest batches are dropped, and its first offset is no longer 0.
 * - A topic that a client asks for, or that is named here, is made if it does not exist, with 4
 *   partitions, each led by a broker chosen at random. Clients can't create topics otherwise.
 * - No TLS, no SASL, no limit to the size of a message, no compaction, no admin requests. Produce
 *   requests are understood up to version 9 and Fetch requests up to version 11, messages only in
 *   the format of Kafka 0.11 and later.
 * - A consumer group takes 3 s to form. `readTopic()` needs none.
 *
 * All methods but those that return a promise act before they return, within a few milliseconds.
 * Each throws an `Error` that says what it got and what it takes when an argument is wrong, and
 * 'the MockCluster is closed' after `close()`; those that return a promise reject with it.
 *
 * It does not keep the process alive. It ends with `close()`, with the process or worker thread that
 * made it, and when it is garbage-collected.
 */
export class MockCluster {
  /** Starts the brokers, on free ports. Throws an `Error` if it can't. */
  constructor(options?: {
    /** Number of brokers, 1 to 100; their ids begin with 1. Default 3. */
    brokers?: number
  })

  /** Comma list of all brokers, `'127.0.0.1:40001,127.0.0.1:40002'`: the publisher's option. */
  readonly connectionString: string

  /** Makes a topic. Throws an `Error` if it exists. */
  createTopic(
    topic: string,
    options?: {
      /** Number of partitions, 1 to 10000. Default 4. */
      partitions?: number
      /** Number of brokers that share a partition, 1 to all. Default 3, or all if there are less. */
      replicationFactor?: number
    }
  ): void

  /**
   * Closes the broker's connections and refuses new ones; without an id, all brokers'. It stays the
   * leader of its partitions: `setPartitionLeader()` changes that.
   */
  brokerDown(id?: number): void

  /** Lets the broker accept connections again, on the same port; without an id, all brokers. */
  brokerUp(id?: number): void

  /**
   * Holds each answer back for so long, in whole milliseconds; those of all brokers without an id. 0
   * lets what is held back go. A time longer than the client's timeout makes a broker that accepts
   * connections and never answers.
   *
   * A connection with an answer held back keeps the time that this one has left as the least delay
   * of what is delayed next, even if it went because of a 0. `brokerDown()` and `brokerUp()` rid it
   * of that, closing the connection.
   */
  setLatency(ms: number, id?: number): void

  /**
   * Makes the next requests of this kind fail, whichever client they come from: the first with the
   * first error, and so on, behind those from earlier calls. An error of a request for several
   * partitions applies to each of them; what such a request carries is not written.
   */
  failRequests(api: MockApi | number, errors: (MockError | 'DISCONNECT' | number)[]): void

  /** Forgets the errors of `failRequests()` for this kind of request that have not occurred yet. */
  clearFailures(api: MockApi | number): void

  /** The error in what clients are told about the topic; null: none. */
  setTopicError(topic: string, error: MockError | number | null): void

  /**
   * Makes this broker the partition's leader; null: it has none. Throws an `Error` if there is no
   * such partition.
   */
  setPartitionLeader(topic: string, partition: number, brokerId: number | null): void

  /**
   * All messages that the topic holds at the call, by partition and offset; none if there is no such
   * topic. It does not block the event loop, and keeps it alive until it is done.
   *
   * They are read over TCP by a consumer of their own, so what ails the cluster applies to it too,
   * and its requests use up the errors of `failRequests()`. Rejects with an `Error` if the topic has
   * an error, if a leader is missing or down, if the time is up, and on `close()`.
   */
  readTopic(
    topic: string,
    options?: {
      /** How long it may take, in whole milliseconds. Default 10000. */
      timeoutMs?: number
    }
  ): Promise<MockMessage[]>

  /** The number of messages that `readTopic()` would give, without reading them. */
  topicEnd(
    topic: string,
    options?: {
      /** How long it may take, in whole milliseconds. Default 10000. */
      timeoutMs?: number
    }
  ): Promise<number>

  /**
   * Stops all brokers and forgets all topics. What is still being read rejects. A second call does
   * nothing. `using cluster = new MockCluster()` does it by itself.
   */
  close(): void
}

/** A `Buffer`, which is a `Uint8Array` where the types of Node.js are not installed. */
export type Bytes = typeof globalThis extends { Buffer: { prototype: infer Type } }
  ? Type
  : Uint8Array

/** A message as `MockCluster.readTopic()` gives it. */
export interface MockMessage {
  topic: string
  partition: number
  offset: number
  key: Bytes | null
  value: Bytes | null
  /** When it was made, in milliseconds since 1970, as its producer says; -1 if it does not. */
  timestamp: number
  /** A header that occurs more than once is an array. */
  headers: Record<string, Bytes | null | (Bytes | null)[]>
  /** The same as pairs, in their order. */
  headerList: [name: string, value: Bytes | null][]
}

/**
 * A kind of request, named as in Kafka's protocol. Metadata requests can't be made to fail; see
 * `setTopicError()` and `brokerDown()`.
 */
export type MockApi =
  | 'Produce'
  | 'Fetch'
  | 'ListOffsets'
  | 'OffsetCommit'
  | 'OffsetFetch'
  | 'FindCoordinator'
  | 'JoinGroup'
  | 'Heartbeat'
  | 'LeaveGroup'
  | 'SyncGroup'
  | 'ApiVersions'
  | 'InitProducerId'
  | 'OffsetForLeaderEpoch'
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'EndTxn'
  | 'TxnOffsetCommit'

/**
 * An error, named as in Kafka's protocol, or in an older version of it. Those listed are what a
 * producer may meet; all others are taken, too. `'NONE'` lets one request pass. Where
 * `'DISCONNECT'` is taken, it closes the connection instead of an answer.
 */
export type MockError =
  | 'NONE'
  | 'UNKNOWN_SERVER_ERROR'
  | 'CORRUPT_MESSAGE'
  | 'UNKNOWN_TOPIC_OR_PARTITION'
  | 'LEADER_NOT_AVAILABLE'
  | 'NOT_LEADER_OR_FOLLOWER'
  | 'REQUEST_TIMED_OUT'
  | 'BROKER_NOT_AVAILABLE'
  | 'MESSAGE_TOO_LARGE'
  | 'NETWORK_EXCEPTION'
  | 'INVALID_TOPIC_EXCEPTION'
  | 'RECORD_LIST_TOO_LARGE'
  | 'NOT_ENOUGH_REPLICAS'
  | 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'
  | 'INVALID_REQUIRED_ACKS'
  | 'TOPIC_AUTHORIZATION_FAILED'
  | 'CLUSTER_AUTHORIZATION_FAILED'
  | 'INVALID_TIMESTAMP'
  | 'UNSUPPORTED_VERSION'
  | 'UNSUPPORTED_FOR_MESSAGE_FORMAT'
  | 'POLICY_VIOLATION'
  | 'OUT_OF_ORDER_SEQUENCE_NUMBER'
  | 'DUPLICATE_SEQUENCE_NUMBER'
  | 'INVALID_PRODUCER_EPOCH'
  | 'KAFKA_STORAGE_ERROR'
  | 'UNKNOWN_PRODUCER_ID'
  | 'UNSUPPORTED_COMPRESSION_TYPE'
  | 'INVALID_RECORD'
  | 'THROTTLING_QUOTA_EXCEEDED'
  | 'UNKNOWN_TOPIC_ID'
  | (string & {})
