// Promises and callbacks that wait to hear what became of a message. Parses on Node.js 8.

// What the addon tells of each: `edge/callbacks.rs` has the same numbers.
const FATE = 6
const DELIVERED = 0
const FILED = 1

/** The largest number that the addon knows a waiting one by. */
const MOST = 0xffffff

/** A message was discarded, and why. */
function discarded(reason, why, topic) {
  const error = new Error('message discarded: ' + why)
  error.code =
    'ERR_KAFKA_PUBLISHER_' + reason.replace(/[A-Z]/g, (letter) => '_' + letter).toUpperCase()
  error.topic = topic
  return error
}

class Waiting {
  constructor(topic, resolve, reject) {
    this.topic = topic
    this.resolve = resolve
    this.reject = reject
  }
}

class Deliveries {
  constructor(defaultTopic) {
    this.defaultTopic = defaultTopic
    /** By number; 0 is nobody's. */
    this.waiting = [undefined]
    this.free = []
    this.count = 0
    this.settle = this.settle.bind(this)
  }

  /**
   * Somebody waits for a message to this topic. One of the two functions will be called, once.
   *
   * @returns {number} what the addon is to be told with the message; 0 if there are too many
   */
  add(topic, resolve, reject) {
    const number = this.free.length > 0 ? this.free.pop() : this.waiting.length
    if (number > MOST) return 0
    const named = topic === undefined ? this.defaultTopic : topic
    this.waiting[number] = new Waiting(named, resolve, reject)
    this.count++
    return number
  }

  take(number) {
    const one = this.waiting[number]
    if (one !== undefined) {
      this.waiting[number] = undefined
      this.free.push(number)
      this.count--
    }
    return one
  }

  /** What the addon tells, of many at once. */
  settle(numbers, reasons) {
    let words
    for (let at = 0; at < numbers.length; at += FATE) {
      const one = this.take(numbers[at])
      if (one === undefined) continue
      const outcome = numbers[at + 1]
      if (outcome === DELIVERED) one.resolve(receipt(one.topic, numbers, at))
      else if (outcome === FILED) one.resolve({ outcome: 'file', topic: one.topic })
      else {
        words = words || JSON.parse(reasons)
        const [reason, why] = words[numbers[at + 2]]
        one.reject(discarded(reason, why, one.topic))
      }
    }
  }

  /** A message that never came as far as the addon. */
  refuse(number, reason, why) {
    const one = this.take(number)
    if (one !== undefined) one.reject(discarded(reason, why, one.topic))
  }

  /** Nobody is left who could tell. */
  end() {
    for (let number = 1; number < this.waiting.length; number++) {
      this.refuse(
        number,
        'ended',
        'the publisher has ended, and it is not known where the message is'
      )
    }
    this.waiting = [undefined]
    this.free = []
  }
}

function receipt(topic, numbers, at) {
  const offset = numbers[at + 3]
  return {
    outcome: 'kafka',
    topic,
    partition: numbers[at + 2],
    // With `requiredAcks: 0` Kafka does not say.
    offset: offset < 0 ? null : offset,
    timestamp: numbers[at + 4],
    size: numbers[at + 5],
  }
}

/**
 * `onDelivery(error, receipt)` as two functions. What it throws is an uncaught exception, as of any callback; it
 * keeps no other from being called.
 */
function callbackOf(onDelivery) {
  const call = (error, receipt) => {
    process.nextTick(onDelivery, error, receipt)
  }
  return { resolve: (receipt) => call(null, receipt), reject: (error) => call(error) }
}

/** A callback of kafka-publisher 3, for which a message in a file is one that Kafka does not have. */
function asIn3(callback) {
  return (error, receipt) => {
    if (error) return callback(error)
    if (receipt.outcome === 'kafka') return callback(null, receipt)
    const filed = new Error('Kafka did not take the message in time; it is in a fallback file')
    filed.code = 'ERR_KAFKA_PUBLISHER_FILED'
    return callback(filed)
  }
}

module.exports = { Deliveries, asIn3, callbackOf }
