// AWS MSK with IAM: the tokens that its brokers take for SASL OAUTHBEARER, by AWS's own signer.
// Run it with `node examples/msk-iam.mjs`; with MSK_BROKERS and AWS_REGION, and credentials as the AWS SDK finds
// them, it publishes one message. Without, it shows that a token is made: signing needs no connection to AWS.

import signer from 'aws-msk-iam-sasl-signer-js'
import { KafkaPublisher } from 'kafka-publisher'

const region = process.env.AWS_REGION ?? 'eu-central-1'
const brokers = process.env.MSK_BROKERS

const pretended = async () => ({ accessKeyId: 'an-id', secretAccessKey: 'a-secret' })

async function oauthToken() {
  const { token, expiryTime } = brokers
    ? await signer.generateAuthToken({ region })
    : await signer.generateAuthTokenFromCredentialsProvider({
        region,
        awsCredentialsProvider: pretended,
      })
  return { value: token, principal: 'msk', lifetimeMs: expiryTime }
}

let given = 0
const kp = new KafkaPublisher({
  connectionString: `ssl://${brokers ?? '127.0.0.1:9'}`,
  ssl: { rejectUnauthorized: true },
  defaultTopic: 'orders',
  logger: { logLevel: brokers ? 4 : 0 },
  oauthToken: async () => {
    const token = await oauthToken()
    const left = Math.round((token.lifetimeMs - Date.now()) / 1000)
    console.log(`a token of ${token.value.length} characters, for ${left} s`)
    given++
    return token
  },
})

if (brokers) {
  console.log(await kp.publish('someKey', { foo: 'bar' }))
} else {
  // The client asks by itself, long before the broker does.
  while (given === 0) await new Promise((resolve) => setTimeout(resolve, 10))
}
await kp.end()
