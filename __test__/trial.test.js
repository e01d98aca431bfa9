// The oldest message on disk is the trial that ends an outage: here it cannot be delivered, for a
// reason of its topic's.

const { MockCluster } = require('../testing')
const { keyOf, messageOf, placesById } = require('./support/numbered')
const { endPublishers, fallbackFiles, makePublisher, untilState } = require('./support/publisher')
const { until } = require('./support/until')

const TOPIC = 'tried'

let cluster
beforeEach(() => {
  cluster = new MockCluster()
  cluster.createTopic(TOPIC)
})
afterEach(async () => {
  await endPublishers()
  cluster.close()
})

/** Makes its trouble; returns what ends it. */
const TROUBLES = {
  'its messages are not answered': () => {
    cluster.failRequests('Produce', Array(500).fill('REQUEST_TIMED_OUT'))
    return () => cluster.clearFailures('Produce')
  },
  'its leader has moved': () => {
    cluster.failRequests('Produce', Array(500).fill('NOT_LEADER_OR_FOLLOWER'))
    return () => cluster.clearFailures('Produce')
  },
  'the topic is not to be written to': () => {
    cluster.failRequests('Produce', Array(500).fill('TOPIC_AUTHORIZATION_FAILED'))
    return () => cluster.clearFailures('Produce')
  },
}

test.each(Object.keys(TROUBLES))(
  'a trial fails because %s, and all is replayed later',
  async (name) => {
    const publisher = makePublisher({
      connectionString: cluster.connectionString,
      defaultTopic: TOPIC,
      requiredAcks: 1,
      retries: { attempts: 2, delay: { min: 200, max: 200 } },
      retryOptions: { minTimeout: 100, maxTimeout: 200 },
      reconnectionDelay: { min: 50, max: 100 },
      batch: { maxWait: 5 },
      fallback: { segmentBytes: 1000 },
    })
    await publisher.init()
    cluster.brokerDown()
    let queued = 0
    const queue = (count) => {
      for (let n = 0; n < count; n++, queued++) {
        publisher.queue(keyOf('one', queued), messageOf('one', queued))
      }
    }
    queue(1)
    await untilState(publisher, 'fallingBack')
    for (let n = 0; n < 20; n++) {
      queue(10)
      await until(() => publisher.getStatistics().fallback.messages === queued)
    }
    const end = TROUBLES[name]()
    cluster.brokerUp()
    const wasTried = ({ text }) => text.startsWith(`topic ${TOPIC} takes no messages`)
    await until(() => publisher.lines.some(wasTried))
    end()
    await until(() => publisher.getStatistics().sentCnt === queued, {
      what: () => `${queued} messages in Kafka; ${JSON.stringify(publisher.getStatistics())}`,
    })
    await until(() => fallbackFiles(publisher.directory).length === 0)
    await publisher.end()
    expect(publisher.getStatistics()).toMatchObject({ unaccountedCnt: 0, replay: { messages: 0 } })
    const places = placesById(await cluster.readTopic(TOPIC))
    expect(places.size).toBe(queued)
  }
)
