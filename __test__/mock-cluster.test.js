// `kafka-publisher/testing`, mostly through kafkajs, which shares no code with it.

const { execFile } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const net = require('node:net')
const path = require('node:path')
const { promisify } = require('node:util')
const { errorCodes } = require('kafkajs/src/protocol/error')
const { MockCluster } = require('../testing')
const { kafkajsClient, withAdmin } = require('./support/client')
const { readTopic, topicEnd } = require('./support/consume')
const { endPublishers, makePublisher, untilSettled } = require('./support/publisher')

const ONCE = { retry: { retries: 0 } }

let cluster
beforeEach(() => {
  cluster = new MockCluster()
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

const addresses = () => cluster.connectionString.split(',')

async function send(topic, messages, options) {
  const producer = kafkajsClient(cluster.connectionString, options).producer(options)
  try {
    await producer.connect()
    await producer.send({ topic, messages })
  } finally {
    await producer.disconnect()
  }
}

async function partitionsOf(topic) {
  const find = (admin) => admin.fetchTopicMetadata({ topics: [topic] })
  const { topics } = await withAdmin(cluster.connectionString, find, ONCE)
  return topics[0].partitions.sort((a, b) => a.partitionId - b.partitionId)
}

function connect(address) {
  const [host, port] = address.split(':')
  const socket = net.connect(Number(port), host)
  return once(socket, 'connect').then(() => socket)
}

/** One ApiVersions request; resolves with the error code of its answer, null if there is none. */
async function ask(socket) {
  const request = Buffer.alloc(14)
  request.writeInt32BE(10, 0) // the length of what follows
  request.writeInt16BE(18, 4) // ApiVersions
  request.writeInt16BE(-1, 12) // no client id
  socket.write(request)
  const cleanUp = new AbortController()
  try {
    return await Promise.race([
      once(socket, 'data', cleanUp).then(([answer]) => answer.readInt16BE(8)),
      once(socket, 'close', cleanUp).then(() => null),
    ])
  } finally {
    cleanUp.abort()
  }
}

async function askOnce(address) {
  const socket = await connect(address)
  try {
    return await ask(socket)
  } finally {
    socket.destroy()
  }
}

describe('the cluster', () => {
  test('has three brokers, which a client finds all from one', async () => {
    expect(cluster.connectionString).toMatch(/^127\.0\.0\.1:\d+(,127\.0\.0\.1:\d+){2}$/)
    const { brokers } = await withAdmin(addresses()[0], (admin) => admin.describeCluster())
    expect(brokers.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3])
    expect(brokers.map(({ host, port }) => `${host}:${port}`)).toEqual(addresses())
  })

  test('makes a topic as it is told', async () => {
    cluster.createTopic('made', { partitions: 7, replicationFactor: 2 })
    const partitions = await partitionsOf('made')
    expect(partitions).toHaveLength(7)
    for (const { replicas, leader } of partitions) {
      expect(replicas).toHaveLength(2)
      expect(replicas).toContain(leader)
    }
    expect(() => cluster.createTopic('made')).toThrow('createTopic: TOPIC_ALREADY_EXISTS')
  })

  test('makes a topic that a client writes to, with the defaults of createTopic', async () => {
    await send('written', [{ value: 'x' }])
    cluster.createTopic('made')
    for (const topic of ['written', 'made']) {
      const partitions = await partitionsOf(topic)
      expect(partitions).toHaveLength(4)
      expect(partitions[0].replicas).toHaveLength(3)
    }
  })
})

describe('readTopic', () => {
  const bytes = (i) => [null, Buffer.alloc(0), randomBytes(100), Buffer.from(`text ${i}`)][i % 4]
  const messages = Array.from({ length: 60 }, (_, i) => ({
    partition: i % 3,
    key: bytes(i),
    value: bytes(i >> 2),
    timestamp: 1_700_000_000_000 + i,
    headers: i % 5 === 0 ? { one: bytes(2), twice: [bytes(2), bytes(3)], empty: bytes(1) } : {},
  }))

  test('gives what kafkajs has written and what kafkajs reads', async () => {
    cluster.createTopic('all', { partitions: 3 })
    await send('all', messages.slice(0, 30))
    await send('all', messages.slice(30))
    // Its pairs have a test of their own.
    const read = (await cluster.readTopic('all')).map(({ headerList, ...message }) => message)
    const byPartition = [0, 1, 2].flatMap((id) =>
      messages.filter(({ partition }) => partition === id).map((m, offset) => ({ ...m, offset }))
    )
    expect(read).toEqual(byPartition.map((message) => ({ topic: 'all', ...message })))
    const theirs = await readTopic(cluster.connectionString, 'all')
    expect(read).toEqual(theirs.map((message) => ({ topic: 'all', ...message })))
    expect(await cluster.topicEnd('all')).toBe(60)
  })

  test('gives what is left when a partition has become too large', async () => {
    cluster.createTopic('large', { partitions: 1 })
    const values = Array.from({ length: 8 }, () => randomBytes(1_000_000))
    for (const value of values) await send('large', [{ value }])
    const read = await cluster.readTopic('large')
    expect(read.length).toBeLessThan(8)
    expect(read.at(-1).offset).toBe(7)
    for (const { offset, value } of read) expect(value.equals(values[offset])).toBe(true)
    expect(await cluster.topicEnd('large')).toBe(read.length)
    expect(await topicEnd(cluster.connectionString, 'large')).toBe(read.length)
  })

  test('gives nothing for a topic that is empty or does not exist, and makes none', async () => {
    cluster.createTopic('empty')
    expect(await cluster.readTopic('empty')).toEqual([])
    expect(await cluster.readTopic('absent')).toEqual([])
    expect(await cluster.topicEnd('absent')).toBe(0)
    const topics = await withAdmin(cluster.connectionString, (admin) => admin.listTopics())
    expect(topics).toEqual(['empty'])
  })

  test('leaves the event loop free', async () => {
    await send('free', [{ value: 'x' }])
    cluster.setLatency(300)
    let ticks = 0
    const ticking = setInterval(() => ticks++, 5)
    expect(await cluster.readTopic('free')).toHaveLength(1)
    clearInterval(ticking)
    expect(ticks).toBeGreaterThan(3)
  })

  test('says what it could not do in time', async () => {
    await send('late', [{ value: 'x' }])
    cluster.brokerDown()
    await expect(cluster.readTopic('late', { timeoutMs: 300 })).rejects.toThrow(
      "topic 'late' was not read within 300 ms: no broker has answered"
    )
    cluster.brokerUp()
    expect(await cluster.readTopic('late')).toHaveLength(1)
  })

  test('says at once which leader is missing', async () => {
    cluster.createTopic('lost', { partitions: 2 })
    cluster.setPartitionLeader('lost', 0, 1)
    cluster.setPartitionLeader('lost', 1, 2)
    cluster.brokerDown(2)
    await expect(cluster.readTopic('lost')).rejects.toThrow(
      "topic 'lost': partition 1 has its leader, broker 2, down"
    )
    cluster.setPartitionLeader('lost', 1, null)
    await expect(cluster.readTopic('lost')).rejects.toThrow(
      "topic 'lost': partition 1 has no leader"
    )
  })
})

describe('trouble', () => {
  test('brokerDown closes connections and refuses new ones, brokerUp accepts them again', async () => {
    const sockets = await Promise.all(addresses().map(connect))
    for (const socket of sockets) expect(await ask(socket)).toBe(0)
    const closed = sockets.map((socket) => once(socket, 'close'))

    cluster.brokerDown(2)
    await closed[1]
    await expect(connect(addresses()[1])).rejects.toThrow('ECONNREFUSED')
    expect(await ask(sockets[2])).toBe(0)
    cluster.brokerUp(2)
    expect(await askOnce(addresses()[1])).toBe(0)

    cluster.brokerDown()
    await Promise.all(closed)
    for (const address of addresses()) await expect(connect(address)).rejects.toThrow('REFUSED')
    cluster.brokerUp()
    for (const address of addresses()) expect(await askOnce(address)).toBe(0)
  })

  test('setLatency holds the answers of one broker or of all back', async () => {
    const time = async (address) => {
      const begin = performance.now()
      expect(await askOnce(address)).toBe(0)
      return performance.now() - begin
    }
    cluster.setLatency(300, 1)
    expect(await time(addresses()[0])).toBeGreaterThanOrEqual(299)
    cluster.setLatency(300)
    expect(await time(addresses()[1])).toBeGreaterThanOrEqual(299)
  })

  test('setLatency makes a broker that does not answer, until it is 0', async () => {
    cluster.setLatency(60_000, 1)
    cluster.setLatency(100, 2)
    const sockets = await Promise.all(addresses().map(connect))
    const answers = sockets.map((socket, i) => ask(socket).then((code) => [i + 1, code]))
    expect(await Promise.race(answers.slice(0, 2))).toEqual([2, 0])
    cluster.setLatency(0, 1)
    expect(await answers[0]).toEqual([1, 0])
    for (const socket of sockets) socket.destroy()
  })

  test('failRequests gives each of the next requests its error', async () => {
    cluster.createTopic('failing', { partitions: 1 })
    cluster.failRequests('Produce', ['MESSAGE_TOO_LARGE', 'NONE', 29])
    const attempt = (value) => send('failing', [{ value }], ONCE)
    await expect(attempt('a')).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' })
    await attempt('b')
    await expect(attempt('c')).rejects.toMatchObject({ type: 'TOPIC_AUTHORIZATION_FAILED' })
    await attempt('d')
    const read = await cluster.readTopic('failing')
    expect(read.map(({ value }) => value.toString())).toEqual(['b', 'd'])
  })

  test('DISCONNECT closes the connection, clearFailures forgets what has not occurred', async () => {
    cluster.failRequests('ApiVersions', ['DISCONNECT', 'UNKNOWN_SERVER_ERROR', 'DISCONNECT'])
    expect(await askOnce(addresses()[0])).toBe(null)
    expect(await askOnce(addresses()[1])).toBe(-1)
    cluster.clearFailures(18)
    expect(await askOnce(addresses()[2])).toBe(0)
  })

  test('errors that kafkajs knows have the same numbers here', async () => {
    // Names of Kafka's first years, and an error of kafkajs itself.
    const others = /^(GROUP_.*LOAD_IN_|GROUP_COORDINATOR_NOT|NOT_COORDINATOR_FOR|KAFKAJS_)/
    const known = errorCodes.filter(({ type }) => !others.test(type))
    expect(known.length).toBeGreaterThan(80)
    const socket = await connect(addresses()[0])
    for (const { type, code } of known) {
      cluster.failRequests('ApiVersions', [type, code])
      expect([type, await ask(socket), await ask(socket)]).toEqual([type, code, code])
    }
    socket.destroy()
  })

  test('setTopicError is what clients are told of the topic, until it is null', async () => {
    cluster.createTopic('forbidden')
    cluster.setTopicError('forbidden', 'TOPIC_AUTHORIZATION_FAILED')
    await expect(send('forbidden', [{ value: 'x' }], ONCE)).rejects.toThrow('Not authorized')
    await expect(cluster.readTopic('forbidden')).rejects.toThrow('TOPIC_AUTHORIZATION_FAILED')
    cluster.setTopicError('forbidden', null)
    await send('forbidden', [{ value: 'x' }], ONCE)
    expect(await cluster.topicEnd('forbidden')).toBe(1)
  })

  test('setPartitionLeader moves a partition, or takes its leader away', async () => {
    cluster.setPartitionLeader('led', 3, 2)
    cluster.setPartitionLeader('led', 0, null)
    const partitions = await partitionsOf('led')
    expect(partitions).toHaveLength(4)
    expect(partitions[3].leader).toBe(2)
    expect(partitions[0].leader).toBe(-1)
    expect(() => cluster.setPartitionLeader('led', 4, 1)).toThrow(
      'setPartitionLeader: UNKNOWN_TOPIC_OR_PARTITION'
    )
  })

  test('a partition without a leader, once written to, does no harm to this process', async () => {
    cluster.createTopic('led', { partitions: 1 })
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: 'led',
      retries: { attempts: 2, delay: { min: 1000, max: 1000 } },
    })
    publisher.queue('key', { n: 1 })
    await untilSettled(publisher)
    // The publisher believes in the old leader, and asks it.
    cluster.setPartitionLeader('led', 0, null)
    publisher.queue('key', { n: 2 })
    await untilSettled(publisher)
    cluster.setPartitionLeader('led', 0, 1)
    const [first] = await cluster.readTopic('led')
    expect(first.value.toString()).toBe('{"n":1}')
  })
})

test.each([
  [() => new MockCluster({ brokers: 0 }), "'brokers' got 0; it takes a whole number from 1 to 100"],
  [() => new MockCluster({ broker: 1 }), "unknown option 'broker'; it takes brokers"],
  [() => cluster.createTopic('a/b'), 'createTopic: \'topic\' got "a/b"; it takes 1 to 249'],
  [() => cluster.createTopic('a', { replicationFactor: 4 }), 'got 4; it takes a whole number from'],
  [
    () => cluster.brokerDown('1'),
    'brokerDown: \'id\' got "1"; it takes a whole number from 1 to 3',
  ],
  [() => cluster.setLatency(), "setLatency: 'ms' got nothing; it takes a whole number from 0"],
  [() => cluster.failRequests('Metadata', [1]), "Metadata requests can't be made to fail"],
  [() => cluster.failRequests('produce', [1]), 'got "produce"; it takes one of Produce, Fetch'],
  [() => cluster.failRequests('Produce', 'NONE'), 'got "NONE"; it takes an array of one error'],
  [() => cluster.failRequests('Produce', ['MSG_TOO_LARGE']), "did you mean 'MESSAGE_TOO_LARGE'?"],
  [() => cluster.setTopicError('a', 'DISCONNECT'), 'it takes an error that a broker answers with'],
  [() => cluster.setPartitionLeader('a', -1, 1), "setPartitionLeader: 'partition' got -1"],
  [() => cluster.readTopic('a', { timeoutMs: 0.5 }), "readTopic: 'timeoutMs' got 0.5; it takes"],
  [() => cluster.topicEnd(), "topicEnd: 'topic' got nothing; it takes"],
])('a wrong argument is told: %s', async (call, text) => {
  await expect((async () => call())()).rejects.toThrow(text)
})

describe('the end', () => {
  const calls = {
    createTopic: ['a'],
    brokerDown: [],
    brokerUp: [],
    setLatency: [1],
    failRequests: ['Produce', [1]],
    clearFailures: ['Produce'],
    setTopicError: ['a', null],
    setPartitionLeader: ['a', 0, 1],
    readTopic: ['a'],
    topicEnd: ['a'],
  }

  test('close stops the brokers, rejects what is being read, and all that comes after', async () => {
    cluster.setLatency(60_000)
    const reading = expect(cluster.readTopic('a')).rejects.toThrow('the MockCluster is closed')
    cluster.close()
    await reading
    for (const address of addresses()) await expect(connect(address)).rejects.toThrow('REFUSED')
    for (const [method, args] of Object.entries(calls)) {
      const call = async () => cluster[method](...args)
      await expect(call()).rejects.toThrow('the MockCluster is closed')
    }
    cluster.close()
  })

  /** What a Node process prints that runs this text; its own end is awaited. */
  async function run(text, ...options) {
    const args = [...options, '--input-type=module', '--eval', text]
    const where = { cwd: path.dirname(__dirname) }
    const { stdout } = await promisify(execFile)(process.execPath, args, where)
    return stdout
  }

  test('an import works, and a process ends by itself with the cluster open', async () => {
    const text = `
      import { MockCluster } from 'kafka-publisher/testing'
      const cluster = new MockCluster({ brokers: 1 })
      console.log(cluster.connectionString.split(',').length, await cluster.readTopic('none'))`
    expect(await run(text)).toBe('1 []\n')
  })

  test('a cluster that nobody mentions any more ends, but not while it is read', async () => {
    const text = `
      import { once } from 'node:events'
      import net from 'node:net'
      import { setImmediate as turn } from 'node:timers/promises'
      import { MockCluster } from 'kafka-publisher/testing'
      let address
      function readSlowly() {
        const cluster = new MockCluster({ brokers: 1 })
        address = cluster.connectionString
        cluster.setLatency(50)
        return cluster.readTopic('none')
      }
      const connects = () => {
        const socket = net.connect(Number(address.split(':')[1]), '127.0.0.1')
        return once(socket, 'connect').then(() => Boolean(socket.destroy()), () => false)
      }
      let reading = readSlowly()
      const collecting = setInterval(gc, 5)
      console.log(await reading)
      clearInterval(collecting)
      reading = undefined
      while (await connects()) {
        gc()
        await turn()
      }
      console.log('ended')`
    expect(await run(text, '--expose-gc')).toBe('[]\nended\n')
  })
})
