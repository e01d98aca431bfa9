// Default options throughout, but for where to connect and for replay, which would take the files
// away that these tests read: it is the defaults' promise that is tested.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const net = require('node:net')
const { readTopic } = require('./support/consume')
const { Kafka } = require('./support/kafka')
const {
  missingFrom,
  numbersInFile,
  numbersInTopic,
  startLoad,
  unordered,
} = require('./support/load')
const { TcpProxy } = require('./support/proxy')
const { endPublishers, makePublisher, readFallback, untilState } = require('./support/publisher')
const { until } = require('./support/until')
const { watchFiles } = require('./support/watch')

const LIMIT = 5000

let kafka
beforeAll(async () => {
  kafka = await Kafka.start()
})
afterAll(() => kafka?.stop())
afterEach(endPublishers)

/** Queues under load until well after the fall-back; returns what a test asks about. */
async function underLoad(publisher, hang, wakeUp) {
  const statistics = () => publisher.getStatistics()
  const watch = watchFiles(publisher)
  const load = startLoad(publisher, { onQueued: watch.queued })
  let isHanging = false
  const wake = () => {
    if (isHanging) wakeUp()
    isHanging = false
  }
  try {
    await until(() => statistics().sentCnt >= 500, { what: '500 messages in Kafka' })
    hang()
    isHanging = true
    await untilState(publisher, 'fallingBack')
    const inFileAtOnce = load.count() + 500
    await until(() => watch.seenAt.has(inFileAtOnce), { what: 'the newest messages in the file' })
    wake()
    await untilState(publisher, 'publishing')
    const { sentCnt } = statistics()
    await until(() => statistics().sentCnt >= sentCnt + 500, { what: '500 more in Kafka' })
  } finally {
    wake()
    load.stop()
    await publisher.end()
    watch.stop()
  }
  return { load, watch }
}

async function expectKept(publisher, topic, { load, watch }) {
  expect(watch.waits().filter(({ took }) => took > LIMIT)).toEqual([])
  expect(load.slowest()).toBeLessThan(1000)
  const inFile = numbersInFile(readFallback(publisher.directory))
  const inTopic = numbersInTopic(await readTopic(kafka.bootstrap, topic))
  expect(missingFrom(load.count(), inTopic, inFile)).toEqual([])
  expect(inFile.length).toBeGreaterThan(500)
  expect(unordered(inFile)).toEqual([])
  expect(publisher.getStatistics()).toMatchObject({
    queueCnt: load.count(),
    discardedCnt: { total: 0 },
    stateChangeCnt: 5,
    unaccountedCnt: 0,
  })
}

test('a broker that stands still: messages are in a file within 5 s, and Kafka is found again', async () => {
  await kafka.createTopic('stopped', { partitions: 3 })
  const publisher = makePublisher({
    connectionString: kafka.bootstrap,
    defaultTopic: 'stopped',
    fallback: { replay: false },
  })
  const result = await underLoad(
    publisher,
    () => kafka.pause(),
    () => kafka.resume()
  )
  await expectKept(publisher, 'stopped', result)
})

describe('a network that swallows packets', () => {
  let proxy
  beforeEach(async () => {
    proxy = await TcpProxy.start(kafka.bootstrap)
  })
  afterEach(() => proxy.stop())

  const publisherThrough = (defaultTopic) =>
    makePublisher({
      connectionString: kafka.bootstrap,
      defaultTopic,
      brokerRedirection: { [kafka.bootstrap]: proxy.address },
      fallback: { replay: false },
    })

  test('under load: messages are in a file within 5 s, and Kafka is found again', async () => {
    await kafka.createTopic('swallowed', { partitions: 3 })
    const publisher = publisherThrough('swallowed')
    const result = await underLoad(
      publisher,
      () => proxy.swallow(),
      () => proxy.recover()
    )
    await expectKept(publisher, 'swallowed', result)
  })

  test('after a time of idleness: the one message is in a file within 5 s', async () => {
    await kafka.createTopic('idle')
    const publisher = publisherThrough('idle')
    publisher.queue('before', { n: 1 })
    await until(() => publisher.getStatistics().sentCnt === 1, { what: 'the first message' })
    proxy.swallow()
    await expectInFileInTime(publisher)
  })

  test('from the beginning, on connections that are accepted: the same', async () => {
    await kafka.createTopic('unanswered')
    proxy.swallow()
    const publisher = publisherThrough('unanswered')
    const init = jest.fn()
    const initSettled = publisher.init().then(init)
    await expectInFileInTime(publisher)
    expect(init).not.toHaveBeenCalled()

    proxy.recover()
    await initSettled
    publisher.queue('after', { n: 2 })
    await until(() => publisher.getStatistics().sentCnt === 1, { what: 'the message in Kafka' })
  })
})

test('connections that are never accepted: messages are in a file within 5 s', async () => {
  const listener = await deafListener()
  try {
    const publisher = makePublisher({ connectionString: listener.address, defaultTopic: 'deaf' })
    await expectInFileInTime(publisher)
  } finally {
    listener.stop()
  }
})

test('a host that does not exist: messages are in a file within 5 s', async () => {
  const publisher = makePublisher({
    connectionString: 'no-such-host.invalid:9092',
    defaultTopic: 'nowhere',
  })
  await expectInFileInTime(publisher)
})

/** One message alone: nothing that comes after it may be what moves it on. */
async function expectInFileInTime(publisher) {
  const watch = watchFiles(publisher)
  try {
    publisher.queue('key', { i: 0 })
    watch.queued(0)
    await until(() => watch.seenAt.has(0), { what: 'the message in the file' })
    expect(watch.waits()[0].took).toBeLessThanOrEqual(LIMIT)
    expect(publisher.getStatistics()).toMatchObject({ state: 'fallingBack', unaccountedCnt: 0 })
  } finally {
    watch.stop()
  }
}

/** A listening port whose process never accepts, and whose backlog is full: connecting hangs. */
async function deafListener() {
  const script = `const server = require('net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      console.log(server.address().port)
      process.kill(process.pid, 'SIGSTOP')
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [data] = await once(child.stdout, 'data')
  const port = Number(data)
  const fillers = Array.from({ length: 8 }, () => net.connect(port, '127.0.0.1'))
  for (const filler of fillers) filler.on('error', () => {})
  await once(fillers[0], 'connect')
  return {
    address: `127.0.0.1:${port}`,
    stop() {
      expect(fillers.some((filler) => filler.connecting)).toBe(true)
      for (const filler of fillers) filler.destroy()
      child.kill('SIGKILL')
    },
  }
}
