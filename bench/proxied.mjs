// A Kafka that is reached only through a proxy, which can be far away or refuse.

import { Kafka } from '../__test__/support/kafka.js'
import { freePorts } from '../__test__/support/ports.js'
import { TcpProxy } from '../__test__/support/proxy.js'
import { JVM } from './broker.mjs'

/**
 * @param {{delay?: number}} [options] milliseconds, each way
 * @param {(kafka: Kafka, proxy: TcpProxy) => Promise<T>} use
 * @returns {Promise<T>}
 * @template T
 */
export async function withProxiedKafka({ delay = 0 }, use) {
  const [port] = await freePorts(1)
  const proxy = await TcpProxy.start(`127.0.0.1:${port}`, { delay })
  const properties = {
    'advertised.listeners': `PLAINTEXT://${proxy.address}`,
    'auto.create.topics.enable': false,
  }
  const kafka = await Kafka.start({ port, properties, jvm: JVM })
  try {
    return await use(kafka, proxy)
  } finally {
    await kafka.stop()
    await proxy.stop()
  }
}
