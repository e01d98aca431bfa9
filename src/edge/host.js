// What a publisher needs done in JavaScript, for the native side to call. Runs on Node 8.
;(function (options, reply) {
  // JSON.stringify for values that refer to themselves: such a reference becomes
  // "[Circular ~]" (the whole value) or "[Circular ~.path.to.it]", as json-stringify-safe has it.
  function stringifySafely(value) {
    var holders = []
    var path = []
    return JSON.stringify(value, function (key, item) {
      if (holders.length === 0) {
        holders.push(item)
        return item
      }
      var depth = holders.indexOf(this)
      if (depth === -1) {
        holders.push(this)
        path.push(key)
      } else {
        holders.length = depth + 1
        path.length = depth
        path.push(key)
      }
      var at = holders.indexOf(item)
      if (at === -1) return item
      return at === 0 ? '[Circular ~]' : '[Circular ~.' + path.slice(0, at).join('.') + ']'
    })
  }

  options = options || {}
  // Text of anything, even of what has none.
  function describe(value) {
    try {
      return String(value)
    } catch (_error) {
      return 'a value without text'
    }
  }

  var logger = options.logger
  var isLogger = false
  var log
  if (logger && typeof logger.logFunction === 'function') {
    log = function (level, clientId, text) {
      logger.logFunction(level, clientId, text)
    }
  } else if (logger && typeof logger.error === 'function') {
    isLogger = true
    log = function (level, _clientId, text) {
      var name = level.toLowerCase()
      if (typeof logger[name] === 'function') logger[name](text)
      else if (name === 'trace' && typeof logger.debug === 'function') logger.debug(text)
      else if (name === 'error' || name === 'warn') logger.error(text)
    }
  }

  var partitioner = options.partitioner
  var partition
  // What is no object at all is refused with the other options.
  if (typeof partitioner === 'object' && partitioner !== null) {
    if (typeof partitioner.partition !== 'function') {
      throw new Error(
        "KafkaPublisher option 'partitioner' got an object without a method partition; " +
          'it takes an object with a method partition(topicName, partitions, message)'
      )
    }
    // Calls the partitioner for each message, in order; it may answer with a promise. What fails
    // is null, and the first failure's text goes along.
    partition = function (id, jobs) {
      var results = []
      var failure
      var pending = false
      function failed(error) {
        if (failure === undefined) failure = describe((error && error.message) || error)
        return null
      }
      jobs.forEach(function (job) {
        job.keys.forEach(function (key, i) {
          var result
          try {
            result = partitioner.partition(job.topic, job.partitions, {
              key: key,
              value: job.values[i],
            })
          } catch (error) {
            result = failed(error)
          }
          if (result && typeof result.then === 'function') {
            pending = true
            result = Promise.resolve(result).catch(failed)
          }
          results.push(result)
        })
      })
      function done(values) {
        var limits = []
        jobs.forEach(function (job) {
          job.keys.forEach(function () {
            limits.push(job.partitions.length)
          })
        })
        var checked = values.map(function (value, i) {
          if (value === null) return null
          if (Number.isInteger(value) && value >= 0 && value < limits[i]) return value
          return failed('it returned ' + describe(value) + ' for ' + limits[i] + ' partitions')
        })
        reply(id, checked, failure)
      }
      function doneFor(error) {
        var none = results.map(function () {
          return null
        })
        reply(id, none, describe(error))
      }
      if (pending) Promise.all(results).then(done).catch(doneFor)
      else done(results)
    }
  }

  var redirection = options.brokerRedirection
  var redirect
  if (typeof redirection === 'function') {
    redirect = function (host, port) {
      var to = redirection(host, port)
      return [String(to.host), Number(to.port)]
    }
  }

  return {
    stringifySafely: stringifySafely,
    isLogger: isLogger,
    log: log,
    partition: partition,
    redirect: redirect,
  }
})
