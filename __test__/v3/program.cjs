// What a caller of kafka-publisher 3.2.0 sees, as JSON: run with the module's name, a Kafka, an address where none
// is, a directory and a name for topics, it tells the same of the real one and of `kafka-publisher/v3`.

const fs = require('node:fs')
const path = require('node:path')

const [moduleName, bootstrap, nobody, directory, topics] = process.argv.slice(2)
const { KafkaPublisher, defaultOptions } = require(moduleName)

// Before any publisher is made: 3.2.0 changes it.
const DEFAULTS = JSON.parse(JSON.stringify(defaultOptions))
const LIMIT = 30000
const WIRE = `${topics}-wire`
const CALLBACKS = `${topics}-callbacks`

const make = (more) =>
  new KafkaPublisher(
    Object.assign(
      {
        producer: { 'metadata.broker.list': bootstrap, 'message.timeout.ms': 5000 },
        logging: { level: 'silent', enabled: false },
        fallback: { directory: path.join(directory, 'files') },
      },
      more
    )
  )

const within = (promise, what) =>
  Promise.race([
    promise,
    new Promise((resolve) => setTimeout(resolve, LIMIT, what || 'nothing in 30 s')),
  ])

/** How a callback was called: with what kind of report, or with an error. */
const called = (queue) =>
  within(
    new Promise((resolve) => {
      queue((error, report) => resolve(error ? 'an error' : shapeOf(report)))
    }),
    'no call'
  )

function shapeOf(value) {
  if (Buffer.isBuffer(value)) return `Buffer ${value.toString()}`
  if (value === null || typeof value !== 'object') return typeof value
  const shape = {}
  for (const name of Object.keys(value).sort()) shape[name] = shapeOf(value[name])
  return shape
}

const outcome = async (work) => {
  try {
    await within(Promise.resolve(work()))
    return 'ok'
  } catch (_error) {
    return 'an error'
  }
}

/** Random keys of all kinds that 3.2.0 took, the same each time. */
function keys() {
  let state = 7
  const random = (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state % limit
  }
  const alphabet = ['a', 'Z', '0', '-', ' ', '"', '\\', 'ü', '\u20ac', '\ud83d\ude00', '\n', '{']
  const made = [
    'd12180e3-0fb7-4ddb-b1d2-b6d810e12de5',
    '354afe16-939a-4ea8-8e17-8bb0840b6886',
    'f562ac3b-2224-4e25-a0ab-56094e10c239',
  ]
  while (made.length < 1000) {
    let key = ''
    const length = 1 + random(30)
    while (key.length < length) key += alphabet[random(alphabet.length)]
    made.push(key)
  }
  return made
}

async function wire() {
  const publisher = make({ defaultTopic: WIRE })
  await publisher.init()
  const circular = { a: [1, null, 'ü'], date: new Date(5), nothing: undefined }
  circular.self = circular
  const done = keys().map((key, i) =>
    called((cb) => publisher.queue(key, i % 10 ? { i } : circular, undefined, cb))
  )
  const calls = new Set((await Promise.all(done)).map((shape) => typeof shape))
  const statistics = publisher.getStatistics()
  const pending = publisher.pending()
  await publisher.shutdown()
  return { calls: Array.from(calls), pending, statistics }
}

async function callbacks() {
  const publisher = make({ defaultTopic: CALLBACKS })
  await publisher.init()
  const ask = (...args) => called((cb) => publisher.queue(...args, cb))
  const seen = {
    acknowledged: await ask('key', { i: 1 }, undefined),
    'null as topic': await ask('key', { i: 1 }, null),
    'number key': await ask(42, { i: 1 }, undefined),
    'null key': await ask(null, { i: 1 }, undefined),
    'object key': await ask({ a: 1 }, { i: 1 }, undefined),
    'boolean key': await ask(true, { i: 1 }, undefined),
    'null message': await ask('key', null, undefined),
    'undefined message': await ask('key', undefined, undefined),
    'string message': await ask('key', 'text', undefined),
    returns: typeof publisher.queue('key', { i: 2 }),
  }
  await publisher.shutdown()
  const topicless = make({})
  await topicless.init()
  seen['no topic'] = await called((cb) => topicless.queue('key', { i: 1 }, undefined, cb))
  await topicless.shutdown()
  return seen
}

async function away() {
  const files = path.join(directory, 'away')
  const publisher = make({
    defaultTopic: 't',
    producer: { 'metadata.broker.list': nobody, 'message.timeout.ms': 1000 },
    fallback: { directory: files },
  })
  publisher.init().then(
    () => {},
    () => {}
  )
  const first = await called((cb) => publisher.queue('key', { i: 1 }, undefined, cb))
  await new Promise((resolve) => setTimeout(resolve, 500))
  const { kafkaReady, initExecuting, filePublisher } = publisher.getStatistics()
  const lines = textsIn(files).join('').split('\n').filter(Boolean).length
  return { first, kafkaReady, initExecuting, filed: filePublisher.mesgCnt, lines }
}

function textsIn(folder) {
  if (!fs.existsSync(folder)) return []
  return fs.readdirSync(folder).reduce((texts, name) => {
    const file = path.join(folder, name)
    if (fs.statSync(file).isDirectory()) return texts.concat(textsIn(file))
    return name.endsWith('.log') ? texts.concat(fs.readFileSync(file, 'utf8')) : texts
  }, [])
}

async function orders() {
  const orders = {}
  const once = make({ defaultTopic: CALLBACKS })
  orders['init() twice'] = await outcome(async () => {
    await once.init()
    await once.init()
  })
  orders['shutdown() twice'] = await outcome(async () => {
    await once.shutdown()
    await once.shutdown()
  })
  orders['queue() after shutdown()'] = await outcome(() => once.queue('key', { i: 1 }))
  const fresh = make({ defaultTopic: CALLBACKS })
  orders['queue() before init()'] = await outcome(() => fresh.queue('key', { i: 1 }))
  orders['shutdown() after that'] = await outcome(async () => {
    await fresh.init()
    await fresh.shutdown()
  })
  const reset = make({ defaultTopic: CALLBACKS })
  await reset.init()
  orders['resetStatistics()'] = await outcome(() => reset.resetStatistics())
  orders['queueMessages()'] = await outcome(() =>
    reset.queueMessages([{ key: 'k', message: {}, topic: CALLBACKS }])
  )
  await reset.shutdown()
  for (const bad of [null, undefined]) {
    orders[`options ${bad}`] = await outcome(() => new KafkaPublisher(bad))
  }
  return orders
}

async function main() {
  const seen = { defaultOptions: DEFAULTS, wire: await wire() }
  seen.callbacks = await callbacks()
  seen.away = await away()
  seen.orders = await orders()
  const options = make({ defaultTopic: 't', retryOptions: { minTimeout: 5 } }).options
  seen.options = { names: Object.keys(options).sort(), retryOptions: options.retryOptions }
  fs.writeFileSync(path.join(directory, 'seen.json'), JSON.stringify(seen))
  process.exit()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
