// An npm registry in this process, as much of one as an installation needs: packages are described, and
// their tarballs handed out.

const { createHash } = require('node:crypto')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')

/**
 * @param {{manifest: object, tarball?: string}[]} packages without a tarball a package can be asked
 *   about, as those of other platforms are, and not be fetched
 * @returns {Promise<{url: string, fetched: string[], close: () => void}>} `fetched`: the names of
 *   packages whose tarballs were asked for
 */
async function startRegistry(packages) {
  const fetched = []
  const byName = new Map(packages.map((entry) => [entry.manifest.name, entry]))
  const server = http.createServer((request, response) => {
    const [name, file] = decodeURIComponent(request.url).slice(1).split('/-/')
    const entry = byName.get(name)
    if (entry && file === undefined) {
      const origin = `http://${request.headers.host}`
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(describe(entry, origin)))
    } else if (entry?.tarball) {
      fetched.push(name)
      fs.createReadStream(entry.tarball).pipe(response)
    } else {
      if (file !== undefined) fetched.push(name)
      response.statusCode = 404
      response.end('{}')
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${server.address().port}/`, fetched, close }
}

function describe({ manifest, tarball }, origin) {
  const { name, version } = manifest
  const content = tarball ? fs.readFileSync(tarball) : Buffer.alloc(0)
  const hash = (algorithm, encoding) => createHash(algorithm).update(content).digest(encoding)
  const dist = {
    tarball: `${origin}/${name}/-/${name}-${version}.tgz`,
    shasum: hash('sha1', 'hex'),
    integrity: `sha512-${hash('sha512', 'base64')}`,
  }
  return {
    name,
    'dist-tags': { latest: version },
    versions: {
      [version]: { ...manifest, _id: `${name}@${version}`, _hasShrinkwrap: false, dist },
    },
    time: { [version]: '2026-01-01T00:00:00.000Z' },
  }
}

module.exports = { startRegistry }
