// A certificate authority of the tests' own, with a certificate for the broker and one for a client.

const { generateKeyPairSync, randomBytes } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const forge = require('node-forge')

const YEAR = 365 * 24 * 3600 * 1000

/**
 * @returns {{ca: string, serverCert: string, serverKey: string, clientCert: string,
 *   clientKey: string}} PEM texts
 */
function makeCertificates() {
  const ca = identity('kafka-publisher test CA', [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ])
  const server = identity('localhost', leaf({ serverAuth: true }, ['localhost', '127.0.0.1']), ca)
  const client = identity('kafka-publisher test client', leaf({ clientAuth: true }), ca)
  return {
    ca: ca.pem,
    serverCert: server.pem,
    serverKey: server.keyPem,
    clientCert: client.pem,
    clientKey: client.keyPem,
  }
}

/**
 * Writes each text into `folder` as `<name>.pem`.
 * @returns {Record<string, string>} the file's path under each text's name
 */
function writeCertificates(certificates, folder) {
  const files = {}
  for (const [name, pem] of Object.entries(certificates)) {
    files[name] = path.join(folder, `${name}.pem`)
    fs.writeFileSync(files[name], pem, { mode: 0o600 })
  }
  return files
}

/** A key and its certificate, signed by `issuer` or, without one, by itself. */
function identity(commonName, extensions, issuer) {
  // forge alone takes seconds for a key; it only builds and signs the certificates here.
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const key = forge.pki.privateKeyFromPem(pair.privateKey)
  const subject = [{ name: 'commonName', value: commonName }]
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey)
  certificate.serialNumber = `01${randomBytes(8).toString('hex')}` // 01: never negative
  certificate.validity.notBefore = new Date(Date.now() - YEAR)
  certificate.validity.notAfter = new Date(Date.now() + YEAR)
  certificate.setSubject(subject)
  certificate.setIssuer(issuer ? issuer.subject : subject)
  certificate.setExtensions(extensions)
  certificate.sign(issuer ? issuer.key : key, forge.md.sha256.create())
  return { key, subject, pem: forge.pki.certificateToPem(certificate), keyPem: pair.privateKey }
}

function leaf(purpose, hosts = []) {
  const altNames = hosts.map((host) =>
    /^[\d.]+$/.test(host) ? { type: 7, ip: host } : { type: 2, value: host }
  )
  return [
    { name: 'basicConstraints', cA: false },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', ...purpose },
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ]
}

module.exports = { makeCertificates, writeCertificates }
