// Types of `kafka-publisher/opentelemetry`.

import type { KafkaPublisher } from './index.js'

/** What is used of a `Tracer`; one of `@opentelemetry/api` is one. */
export interface TracerLike {
  // biome-ignore lint/suspicious/noExplicitAny: the types of @opentelemetry/api need not be installed
  startSpan(name: string, options?: any, context?: any): any
}

/** What is used of a `TextMapPropagator`; one of `@opentelemetry/api` is one. */
export interface PropagatorLike {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  inject(context: any, carrier: any, setter: any): void
}

/**
 * Has each message carry the caller's trace context in its headers (`traceparent`, as the propagator writes
 * it), also in a fallback file and when it is replayed from there. The caller's own headers win.
 *
 * With a `tracer`, each message has a span `send <topic>` of the kind PRODUCER, which ends when Kafka has
 * acknowledged the message (with its partition and offset), when it is in a file (`kafka_publisher.outcome`
 * is `file`), or with the error when it is discarded; what a consumer does belongs to that span.
 *
 * Throws an `Error` if `@opentelemetry/api` is not installed and not given. Messages are sent also when the
 * tracer or the propagator throws.
 *
 * @param publisher its `queue()`, `tombstone()`, `queueRecord()`, `publish()` and `publishRecord()` are replaced
 * @returns the same publisher
 */
// biome-ignore lint/suspicious/noExplicitAny: a publisher of any topics
export declare function instrument<Publisher extends KafkaPublisher<any>>(
  publisher: Publisher,
  options?: {
    /** Makes the spans. Default: none are made. */
    tracer?: TracerLike
    /** Writes the headers. Default: the global one of `@opentelemetry/api`. */
    propagator?: PropagatorLike
    /** The program's `@opentelemetry/api`. Default: `require('@opentelemetry/api')`. */
    api?: object
  }
): Publisher
