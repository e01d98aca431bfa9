// A program of a user, in TypeScript: checked under each way of resolving modules.

import type { KafkaPublisherOptions, KafkaPublisherStatistics, Logger } from 'kafka-publisher'
import { KafkaPublisher } from 'kafka-publisher'
import type { MockMessage } from 'kafka-publisher/testing'
import { MockCluster } from 'kafka-publisher/testing'

const logger: Logger = console
const cluster = new MockCluster({ brokers: 1 })
const options: KafkaPublisherOptions = {
  connectionString: cluster.connectionString,
  defaultTopic: 'topic',
  codec: 'zstd',
  logger,
}

export async function publish(): Promise<[KafkaPublisherStatistics, MockMessage[]]> {
  const publisher = new KafkaPublisher(options)
  await publisher.init()
  if (!publisher.queue({ id: 1 }, { foo: 'bar' })) await publisher.drained()
  // @ts-expect-error a text is no message
  publisher.queue('key', 'text')
  await publisher.end()
  return [publisher.getStatistics(), await cluster.readTopic('topic')]
}
