// Traces of what a publisher sends, with the program's own OpenTelemetry. Parses on Node.js 8.

const PRODUCER = 3 // SpanKind.PRODUCER
const ERROR = 2 // SpanStatusCode.ERROR
const SETTINGS = Symbol.for('kafka-publisher.settings')

/** Which argument is the topic, or the options with it; `queueRecord` has all in one. */
const METHODS = {
  queue: { at: 2, waits: false },
  tombstone: { at: 1, waits: false },
  queueRecord: { at: 0, waits: false },
  publish: { at: 2, waits: true },
  publishRecord: { at: 0, waits: true },
}

function instrument(publisher, options) {
  const { tracer, propagator, api } = optionsOf(options)
  const settings = publisher && publisher[SETTINGS]
  if (!settings) throw new TypeError('instrument() takes a KafkaPublisher')
  const inject = propagator || api.propagation
  for (const name of Object.keys(METHODS)) {
    const method = publisher[name]
    const { at, waits } = METHODS[name]
    const instrumented = function (...args) {
      // What is no record is refused as it is.
      if (at === 0 && (typeof args[0] !== 'object' || args[0] === null))
        return method.apply(this, args)
      let sending
      try {
        sending = begin(name, args, at)
      } catch (_error) {
        // Tracing never keeps a message back.
        return method.apply(this, args)
      }
      const { sent, span } = sending
      if (!span || !waits) return method.apply(this, sent)
      const promise = method.apply(this, sent)
      promise.then(
        (receipt) => finish(span, null, receipt),
        (error) => finish(span, error)
      )
      return promise
    }
    Object.defineProperty(publisher, name, {
      value: instrumented,
      configurable: true,
      writable: true,
    })
  }
  return publisher

  function begin(name, args, at) {
    const given = args[at]
    const isOptions = typeof given === 'object' && given !== null
    const message = isOptions ? Object.assign({}, given) : { topic: given }
    const topic = message.topic === undefined ? settings.defaultTopic : message.topic
    let context = api.context.active()
    let span
    if (tracer) {
      const key = at === 0 ? message.key : args[0]
      const isTombstone =
        name === 'tombstone' ||
        (at === 0 && (message.value === undefined || message.value === null))
      const attributes = attributesOf(topic, key, isTombstone)
      span = tracer.startSpan('send ' + topic, { kind: PRODUCER, attributes }, context)
      context = api.trace.setSpan(context, span)
      if (!METHODS[name].waits) message.onDelivery = ending(span, message.onDelivery)
    }
    const carrier = {}
    inject.inject(context, carrier, api.defaultTextMapSetter)
    message.headers = withHeaders(message.headers, carrier)
    const sent = args.slice()
    sent[at] = message
    return { sent, span }
  }

  function attributesOf(topic, key, isTombstone) {
    const attributes = {
      'messaging.system': 'kafka',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': String(topic),
      'messaging.client.id': settings.clientId,
    }
    if (typeof key === 'string' || typeof key === 'number') {
      attributes['messaging.kafka.message.key'] = String(key)
    }
    if (isTombstone) attributes['messaging.kafka.message.tombstone'] = true
    return attributes
  }
}

/** The caller's own headers are first, and win. */
function withHeaders(headers, carrier) {
  const names = Object.keys(carrier)
  if (names.length === 0) return headers
  if (Array.isArray(headers)) {
    const known = headers.map((pair) => pair[0])
    const more = names.filter((name) => known.indexOf(name) === -1)
    return headers.concat(more.map((name) => [name, carrier[name]]))
  }
  const own = headers === undefined || headers === null ? {} : headers
  if (typeof own !== 'object') return headers
  const more = {}
  for (const name of names) if (!(name in own)) more[name] = carrier[name]
  return Object.assign({}, own, more)
}

/** `onDelivery` that ends the span, and calls the caller's own. */
function ending(span, onDelivery) {
  if (onDelivery !== undefined && onDelivery !== null && typeof onDelivery !== 'function') {
    return onDelivery
  }
  return (error, receipt) => {
    finish(span, error, receipt)
    if (onDelivery) onDelivery(error, receipt)
  }
}

function finish(span, error, receipt) {
  try {
    describe(span, error, receipt)
    span.end()
  } catch (_error) {
    // The tracer's own fault, which keeps nobody from hearing of the message.
  }
}

function describe(span, error, receipt) {
  if (error) {
    span.recordException(error)
    span.setAttribute('error.type', error.code || error.name)
    span.setStatus({ code: ERROR, message: error.message })
  } else {
    span.setAttribute('kafka_publisher.outcome', receipt.outcome)
    if (receipt.outcome === 'kafka') {
      span.setAttribute('messaging.destination.partition.id', String(receipt.partition))
      if (receipt.offset !== null) span.setAttribute('messaging.kafka.offset', receipt.offset)
    }
  }
}

function optionsOf(options) {
  const { tracer, propagator, api } = options || {}
  return { tracer, propagator, api: api || requireApi() }
}

function requireApi() {
  try {
    return require('@opentelemetry/api')
  } catch (error) {
    throw new Error(
      'kafka-publisher/opentelemetry needs @opentelemetry/api: install it, or give it as instrument(publisher, { api }) (' +
        error.message.split('\n')[0] +
        ')'
    )
  }
}

exports.instrument = instrument
