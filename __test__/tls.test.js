const { execFile } = require('node:child_process')
const { createPrivateKey, X509Certificate } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { promisify } = require('node:util')
const forge = require('node-forge')
const { makeCertificates } = require('./support/certificates')
const { readTopic } = require('./support/consume')
const {
  PATIENT,
  endPublishers,
  makeDirectory,
  makePublisher,
  readFallback,
  untilSettled,
} = require('./support/publisher')
const { sharedKafka } = require('./support/shared-kafka')

const PASSPHRASE = 'open sesame'

let kafka
let pem
let files
beforeAll(async () => {
  kafka = await sharedKafka()
  pem = kafka.certificates
  files = kafka.certificateFiles
})
afterEach(endPublishers)

const publisherFor = (defaultTopic, options) =>
  makePublisher({
    connectionString: kafka.tlsBootstrap,
    defaultTopic,
    ...PATIENT,
    ...options,
  })

/** The certificate's whole chain of trust, checked. */
const verified = () => ({
  cert: pem.clientCert,
  key: pem.clientKey,
  ca: pem.ca,
  rejectUnauthorized: true,
})

async function valuesIn(topic) {
  return (await readTopic(kafka.bootstrap, topic)).map(({ value }) => value.toString())
}

function encryptedKey() {
  const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE }
  return createPrivateKey(pem.clientKey).export(options)
}

function pkcs12File() {
  const { asn1, pki, pkcs12 } = forge
  const key = pki.privateKeyFromPem(pem.clientKey)
  const chain = [pki.certificateFromPem(pem.clientCert)]
  const bytes = asn1.toDer(pkcs12.toPkcs12Asn1(key, chain, PASSPHRASE, { algorithm: 'aes256' }))
  const file = path.join(makeDirectory(), 'client.p12')
  fs.writeFileSync(file, bytes.getBytes(), 'binary')
  return file
}

describe('with a client certificate that the broker asks for, and its authority checked', () => {
  test.each([
    ['PEM texts', () => verified()],
    [
      'Buffers',
      () => ({
        ...verified(),
        cert: Buffer.from(pem.clientCert),
        key: Buffer.from(pem.clientKey),
        ca: Buffer.from(pem.ca),
      }),
    ],
    [
      'file paths',
      () => ({ ...verified(), cert: files.clientCert, key: files.clientKey, ca: files.ca }),
    ],
    ['an authority among others', () => ({ ...verified(), ca: [pem.clientCert, pem.ca] })],
    [
      'an encrypted key and its passphrase',
      () => ({ ...verified(), key: encryptedKey(), passphrase: PASSPHRASE }),
    ],
    [
      'a PKCS#12 file',
      () => ({ pfx: pkcs12File(), passphrase: PASSPHRASE, ca: pem.ca, rejectUnauthorized: true }),
    ],
  ])('given as %s, messages arrive', async (name, ssl) => {
    const topic = name.replace(/\W+/g, '-')
    await kafka.createTopic(topic)
    const publisher = publisherFor(topic, { ssl: ssl() })
    publisher.queue('key', { secure: true })
    await publisher.end()
    expect(await valuesIn(topic)).toEqual(['{"secure":true}'])
    expect(publisher.getStatistics()).toMatchObject({ sentCnt: 1 })
  })

  test.each([
    [
      'paths',
      () => ({
        KAFKA_CLIENT_CERT: files.clientCert,
        KAFKA_CLIENT_CERT_KEY: files.clientKey,
        KAFKA_CLIENT_CA: files.ca,
      }),
    ],
    [
      'PEM texts',
      () => ({
        KAFKA_CLIENT_CERT: pem.clientCert,
        KAFKA_CLIENT_CERT_KEY: pem.clientKey,
        KAFKA_CLIENT_CA: pem.ca,
      }),
    ],
    [
      'PEM texts of the _STR variables (they win)',
      () => ({
        KAFKA_CLIENT_CERT: '/no/such/file.pem',
        KAFKA_CLIENT_CERT_KEY: '/no/such/file.pem',
        KAFKA_CLIENT_CERT_STR: pem.clientCert,
        KAFKA_CLIENT_CERT_KEY_STR: pem.clientKey,
        KAFKA_CLIENT_CA: pem.ca,
      }),
    ],
  ])('given as %s in the environment, messages arrive', async (name, environment) => {
    const topic = `environment-${name.replace(/\W+/g, '-')}`
    await kafka.createTopic(topic)
    const script = `
      const { KafkaPublisher } = require(${JSON.stringify(path.join(__dirname, '..'))})
      const publisher = new KafkaPublisher(JSON.parse(process.argv[1]))
      publisher.queue('key', { secure: true })
      publisher.end()`
    const options = {
      connectionString: kafka.tlsBootstrap,
      defaultTopic: topic,
      ssl: { rejectUnauthorized: true },
      fallback: { directory: makeDirectory() },
      ...PATIENT,
    }
    const { stderr } = await promisify(execFile)(
      process.execPath,
      ['-e', script, JSON.stringify(options)],
      { env: { PATH: process.env.PATH, ...environment() } }
    )
    expect(await valuesIn(topic)).toEqual(['{"secure":true}'])
    expect(stderr).toBe('')
  })
})

describe('a broker that is not what it claims to be', () => {
  /** The base64 lines of all private keys there are. */
  const keyMaterial = () =>
    [pem.clientKey, pem.serverKey].flatMap((text) =>
      text.split('\n').filter((line) => line.length > 20 && !line.startsWith('-'))
    )

  function expectNoSecretsIn(texts) {
    const secrets = [...keyMaterial(), PASSPHRASE]
    expect(texts.filter((text) => secrets.some((secret) => text.includes(secret)))).toEqual([])
  }

  const IMPATIENT = { retries: { attempts: 5, delay: { min: 100, max: 500 } } }

  async function expectRefused(options, reason) {
    const publisher = publisherFor('impostor', { ...IMPATIENT, ...options })
    publisher.queue('key', { secret: true })
    await untilSettled(publisher)
    expect(readFallback(publisher.directory).map(({ value }) => value)).toEqual([{ secret: true }])
    expect(publisher.getStatistics()).toMatchObject({ sentCnt: 0, state: 'fallingBack' })
    await publisher.end()
    const problems = publisher.lines.filter(({ level }) => level === 'WARN' || level === 'ERROR')
    expect(problems.map(({ text }) => text).join('\n')).toMatch(reason)
    expectNoSecretsIn(publisher.lines.map(({ text }) => text))
    expectNoSecretsIn([JSON.stringify(publisher.getStatistics())])
  }

  test('is not talked to with rejectUnauthorized: messages go to file, the reason is logged', async () => {
    await kafka.createTopic('impostor')
    const ssl = { ...verified(), ca: makeCertificates().ca }
    await expectRefused({ ssl }, /certificate verify failed/)
    expect(await valuesIn('impostor')).toEqual([])
  })

  test('is not talked to with rejectUnauthorized if its certificate has another name', async () => {
    expect(new X509Certificate(pem.serverCert).subjectAltName).not.toContain('127.0.0.2')
    const elsewhere = kafka.tlsBootstrap.replace('127.0.0.1', '127.0.0.2')
    const brokerRedirection = { [elsewhere]: kafka.tlsBootstrap }
    const options = { ssl: verified(), connectionString: elsewhere, brokerRedirection }
    await expectRefused(options, /certificate verify failed/)
  })

  test('is talked to without rejectUnauthorized, as in 0.1.x', async () => {
    await kafka.createTopic('unchecked')
    const { cert, key } = verified()
    const publisher = publisherFor('unchecked', { ssl: { cert, key, ca: cert } })
    publisher.queue('key', { secure: false })
    await publisher.end()
    expect(await valuesIn('unchecked')).toEqual(['{"secure":false}'])
  })

  test('a client without a certificate is refused by the broker: messages go to file', async () => {
    const ssl = { ca: pem.ca, rejectUnauthorized: true }
    await expectRefused({ ssl }, /certificate/i)
  })

  test('a key that can not be read is reported by the constructor, and not shown', () => {
    const [begin, ...rest] = pem.clientKey.split('\n')
    const broken = [begin, ...rest.slice(3)].join('\n')
    for (const ssl of [
      { ...verified(), key: broken },
      { ...verified(), key: encryptedKey(), passphrase: `not ${PASSPHRASE}` },
    ]) {
      let error
      try {
        publisherFor('impostor', { ssl })
      } catch (thrown) {
        error = thrown
      }
      expect(error?.message).toMatch(/^KafkaPublisher option/)
      expectNoSecretsIn([error.message, error.stack])
    }
  })
})

test('ssl:// turns TLS on, kafka:// does not', async () => {
  await kafka.createTopic('schemes')
  const producer = { 'ssl.certificate.pem': pem.clientCert, 'ssl.key.pem': pem.clientKey }
  for (const [scheme, bootstrap] of [
    ['ssl', kafka.tlsBootstrap],
    ['kafka', kafka.bootstrap],
  ]) {
    const connectionString = `${scheme}://${bootstrap}`
    const publisher = publisherFor('schemes', { connectionString, producer })
    publisher.queue('key', { scheme })
    await publisher.end()
  }
  expect(await valuesIn('schemes')).toEqual(['{"scheme":"ssl"}', '{"scheme":"kafka"}'])
})
