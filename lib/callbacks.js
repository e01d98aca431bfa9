// The user's functions, as the addon calls them: with text, and without ever throwing. Parses on
// Node.js 8.

const { describe } = require('./text')

// Looked at once: what a program does to the built-ins later changes nothing here.
const isInteger = Number.isInteger

/** Settles as `result` does, whatever its own methods do. */
function settled(result) {
  return new Promise(function (resolve) {
    resolve(result)
  })
}

/** What an async function rejects with must not end the process. */
function quiet(result) {
  if (typeof result === 'object' && result !== null) settled(result).then(nothing, nothing)
}

function nothing() {}

/** Hands a line to the user's logger. Returns what the logger threw, as text. */
function deliver(logger, level, clientId, text) {
  try {
    const name = level.toLowerCase()
    let result
    if (typeof logger.logFunction === 'function') {
      result = logger.logFunction(level, clientId, text)
    } else if (typeof logger[name] === 'function') result = logger[name](text)
    else if (name === 'trace' && typeof logger.debug === 'function') result = logger.debug(text)
    else if (name === 'error' || name === 'warn') result = logger.error(text)
    quiet(result)
    return undefined
  } catch (error) {
    return describe(error)
  }
}

/**
 * Calls the partitioner for each message, in order; it may answer with a promise. `jobs` is JSON.
 * `reply` gets one partition a message, null where it failed, and the first failure's text.
 */
function partitionWith(partitioner) {
  return (id, jobs, reply) => {
    const results = []
    const limits = []
    let failure
    let pending = false
    function failed(error) {
      if (failure === undefined) failure = describe(error)
      return null
    }
    function ask(topic, partitions, key, value) {
      try {
        const result = partitioner.partition(topic, partitions, { key, value })
        if (typeof result !== 'object' || result === null) return result
        if (typeof result.then !== 'function') return result
        pending = true
        return settled(result).then(undefined, failed)
      } catch (error) {
        return failed(error)
      }
    }
    for (const job of JSON.parse(jobs)) {
      const count = job.partitions.length
      for (let i = 0; i < job.keys.length; i++) {
        limits.push(count)
        results.push(ask(job.topic, job.partitions, job.keys[i], job.values[i]))
      }
    }
    function check(value, i) {
      if (value === null) return null
      if (isInteger(value) && value >= 0 && value < limits[i]) return value
      let shown = 'a value without text'
      try {
        shown = String(value)
      } catch (_error) {
        // It is said so.
      }
      return failed('it returned ' + shown + ' for ' + limits[i] + ' partitions')
    }
    const done = (values) => reply(id, values.map(check), failure)
    // A promise above never rejects; another object that turns out to be thenable might.
    const doneFor = (error) => done(results.map(() => failed(error)))
    if (pending) Promise.all(results).then(done).then(undefined, doneFor)
    else done(results)
  }
}

/** `{ host, port }` of where a broker is, or `{ failure }`, as JSON. */
function redirectWith(redirection) {
  return (host, port) => {
    try {
      const to = redirection(host, port)
      quiet(to)
      return JSON.stringify({ host: String(to.host), port: Number(to.port) })
    } catch (error) {
      return JSON.stringify({ failure: describe(error) })
    }
  }
}

/** Own properties, each read once: what a program adds to Object.prototype is no option. */
function ownOptions(options) {
  if (typeof options !== 'object' || options === null) return options
  const own = Object.create(null)
  for (const name of Object.keys(options)) own[name] = options[name]
  return own
}

/** The settings beside a `logFunction`, whose own properties may be anything. */
function settingsOf(logger) {
  const settings = Object.create(null)
  if (Object.keys(logger).indexOf('logLevel') !== -1) settings.logLevel = logger.logLevel
  return settings
}

/**
 * Splits the user's options into plain data and functions.
 *
 * @returns {object} `options` for the addon to copy; `callbacks` to be kept alive for as long as the publisher is;
 *   and some of the options as they are
 */
function split(given) {
  const options = ownOptions(given)
  // What a program adds to Object.prototype is no function of ours.
  const callbacks = Object.assign(Object.create(null), { deliver })
  if (typeof options !== 'object' || options === null) return { options, callbacks }

  const logger = options.logger
  if (typeof logger === 'object' && logger !== null) {
    const hasFunction = typeof logger.logFunction === 'function'
    if (hasFunction || typeof logger.error === 'function') callbacks.logger = logger
    // A logger's own properties are none of ours; settings for one are checked.
    if (!callbacks.logger) options.logger = ownOptions(logger)
    else options.logger = hasFunction ? settingsOf(logger) : undefined
  } else if (typeof logger === 'function' && typeof logger.error === 'function') {
    callbacks.logger = logger
    options.logger = undefined
  }

  const partitioner = options.partitioner
  if (typeof partitioner === 'object' && partitioner !== null) {
    if (typeof partitioner.partition !== 'function') {
      throw new Error(
        "KafkaPublisher option 'partitioner' got an object without a method partition; " +
          'it takes an object with a method partition(topicName, partitions, message)'
      )
    }
    callbacks.partition = partitionWith(partitioner)
    options.partitioner = {}
  }
  if (typeof options.brokerRedirection === 'function') {
    callbacks.redirect = redirectWith(options.brokerRedirection)
  }
  const { defaultTopic, clientId = 'no-kafka-client', oauthToken } = options
  return {
    options,
    callbacks,
    defaultTopic,
    clientId,
    oauthToken: typeof oauthToken === 'function' ? oauthToken : undefined,
  }
}

module.exports = { split }
