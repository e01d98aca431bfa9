// Credentials and rights that are wrong, change, or expire: SASL over TLS.

const USER = 'alice'
const PASSWORD = 'alice-secret'

const connected = ({ cluster }, producer) => ({
  connectionString: cluster.saslBootstrap,
  ssl: { ca: cluster.ca },
  producer: { 'security.protocol': 'SASL_SSL', ...producer },
})

const scram = (stage) =>
  connected(stage, {
    'sasl.mechanisms': 'SCRAM-SHA-256',
    'sasl.username': USER,
    'sasl.password': PASSWORD,
  })

const RESOURCE_TOPIC = 2
const LITERAL = 3
const ALLOW = 3
const [WRITE, DESCRIBE] = [4, 8]

/** A right of the user, as kafkajs writes it. */
const right = (resourceName, operation) => ({
  resourceType: RESOURCE_TOPIC,
  resourceName,
  resourcePatternType: LITERAL,
  principal: `User:${USER}`,
  host: '*',
  operation,
  permissionType: ALLOW,
})

const allow = (cluster, topics, operations = [WRITE, DESCRIBE]) =>
  cluster.admin((admin) =>
    admin.createAcls({
      acl: topics.flatMap((topic) => operations.map((operation) => right(topic, operation))),
    })
  )

const known = async ({ cluster, topics }, password = PASSWORD) => {
  await allow(cluster, topics)
  await cluster.setPassword(USER, password)
}

module.exports = [
  {
    name: 'acl',
    what: 'the right to write to one topic taken away, given back after 8 s',
    calm: ['b', 'c'],
    prepare: known,
    options: scram,
    async run({ cluster, topics: [topic], wait, healed }) {
      await cluster.admin((admin) => admin.deleteAcls({ filters: [right(topic, WRITE)] }))
      await wait(8)
      await allow(cluster, [topic], [WRITE])
      healed()
      await wait(6)
    },
    // The topic is tried again after 10 s at most.
    expect: { recoverMs: 11_000 },
  },
  {
    name: 'password-wrong',
    what: 'SCRAM over TLS with a wrong password for 10 s, then the right one',
    prepare: (stage) => known(stage, 'another'),
    options: scram,
    warmUp: false,
    async run({ cluster, wait, healed }) {
      await wait(10)
      await cluster.setPassword(USER, PASSWORD)
      healed()
      await wait(10)
    },
  },
  {
    name: 'password-changed',
    what: 'the password changed on the brokers, and changed back after 25 s',
    prepare: (stage) => known(stage),
    options: scram,
    async run({ cluster, wait, healed }) {
      await cluster.setPassword(USER, 'another')
      await wait(25)
      await cluster.setPassword(USER, PASSWORD)
      healed()
      await wait(10)
    },
  },
  {
    name: 'oauthbearer',
    what: 'OAUTHBEARER with tokens that expire after 12 s',
    prepare: ({ cluster, topics }) => allow(cluster, topics),
    options: (stage) =>
      connected(stage, {
        'sasl.mechanisms': 'OAUTHBEARER',
        'enable.sasl.oauthbearer.unsecure.jwt': true,
        'sasl.oauthbearer.config': `principal=${USER} lifeSeconds=12`,
      }),
    async run({ wait, healed }) {
      await wait(30)
      healed()
    },
    expect: { filed: 0 },
  },
  {
    name: 'quota',
    what: 'a quota of 50 kB/s for 20 s, at 70 kB/s to each broker',
    options: () => ({ clientId: 'limited' }),
    load: { bytes: 350 },
    async run({ cluster, wait, healed }) {
      const client = ['--entity-type', 'clients', '--entity-name', 'limited']
      await cluster.configure(...client, '--add-config', 'producer_byte_rate=50000')
      await wait(20)
      await cluster.configure(...client, '--delete-config', 'producer_byte_rate')
      healed()
    },
  },
]
