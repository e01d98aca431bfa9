// Finds the native addon and loads it. Parses on Node.js 8.
//
// In this order: the file that the environment variable NAPI_RS_NATIVE_LIBRARY_PATH names, and then
// no other; a local build in this folder; the package for this platform, which npm installs as an
// optional dependency.

const BINARY = 'kafka-publisher'
const PLATFORMS = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
]

function load() {
  refuseOldRuntime()
  const explicit = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (explicit) {
    try {
      return require(explicit)
    } catch (error) {
      throw failure([
        `NAPI_RS_NATIVE_LIBRARY_PATH names '${explicit}', and nothing else was tried: ${reason(error)}`,
      ])
    }
  }
  const platform = thisPlatform()
  const failures = []
  for (const request of [`./${BINARY}.${platform}.node`, `${BINARY}-${platform}`]) {
    try {
      return require(request)
    } catch (error) {
      failures.push({ request, error, missing: isMissing(error, request) })
    }
  }
  throw failure(explain(platform, failures))
}

/** The addon needs thread-safe functions: Node-API 4. */
function refuseOldRuntime() {
  if (Number(process.versions.napi) >= 4) return
  throw failure([
    `it needs Node-API 4, which Node.js has from 8.16 in 8, from 10.16 in 10, and from 11.8 on; this is ${process.version}`,
  ])
}

function thisPlatform() {
  const name = `${process.platform}-${process.arch}`
  if (process.platform === 'linux') return `${name}-${isMusl() ? 'musl' : 'gnu'}`
  return process.platform === 'win32' ? `${name}-msvc` : name
}

/**
 * Whether this process runs on musl. What the running program itself says goes first: a machine can
 * have both C libraries.
 */
function isMusl() {
  const loaded = loadedLibc()
  if (loaded) return loaded === 'musl'
  const report = runtimeReport()
  if (report && report.header && report.header.glibcVersionRuntime) return false
  if (report && Array.isArray(report.sharedObjects)) {
    return report.sharedObjects.some((file) => /libc\.musl-|ld-musl-/.test(file))
  }
  return lddSaysMusl()
}

/** The C library that is mapped into this process. */
function loadedLibc() {
  try {
    const maps = require('fs').readFileSync('/proc/self/maps', 'latin1')
    if (/\/(ld-musl-|libc\.musl-)/.test(maps)) return 'musl'
    if (/\/(libc\.so\.6|libc-2\.\d+\.so)/.test(maps)) return 'glibc'
  } catch (_error) {
    // No /proc here, or (Deno) no permission to read it.
  }
  return null
}

function runtimeReport() {
  if (!process.report || typeof process.report.getReport !== 'function') return null
  const exclude = process.report.excludeNetwork
  // Or else it may look names of peers up, and take long.
  process.report.excludeNetwork = true
  try {
    const report = process.report.getReport()
    return typeof report === 'string' ? JSON.parse(report) : report
  } catch (_error) {
    return null
  } finally {
    process.report.excludeNetwork = exclude
  }
}

function lddSaysMusl() {
  try {
    return require('fs').readFileSync('/usr/bin/ldd', 'latin1').indexOf('musl') !== -1
  } catch (_error) {
    return false
  }
}

/** Whether `request` itself was not found; not something that it needs. */
function isMissing(error, request) {
  return error.code === 'MODULE_NOT_FOUND' && String(error.message).indexOf(request) !== -1
}

function explain(platform, failures) {
  const lines = failures.map(
    (failed) => `'${failed.request}': ${failed.missing ? 'not there' : reason(failed.error)}`
  )
  if (PLATFORMS.indexOf(platform) === -1) {
    return lines.concat(
      `there is no prebuilt addon for ${platform}, only for ${PLATFORMS.join(', ')}`
    )
  }
  const dependency = failures[1]
  if (!dependency.missing) return lines.concat(adviceOnRefusal(dependency.error) || [])
  const others = PLATFORMS.filter((other) => other !== platform && isInstalled(other))
  if (others.length > 0) {
    lines.push(
      `installed is the package for ${others.join(', ')}, and this is ${platform}: node_modules was made ` +
        'on another system or for another C library; install on the system where it runs'
    )
  } else {
    lines.push(
      `the package ${BINARY}-${platform} is an optional dependency; it is missing if it was installed with ` +
        '--omit=optional (--no-optional, --ignore-optional), or because of an error of npm ' +
        '(https://github.com/npm/cli/issues/4828): remove package-lock.json and node_modules, then ' +
        'install again'
    )
  }
  return lines
}

function adviceOnRefusal(error) {
  const text = reason(error)
  const wanted = /version `(GLIBC_[\d.]+)' not found/.exec(text)
  if (wanted) return `it needs glibc 2.17 or newer; this system has no ${wanted[1]}`
  if (/ld-linux|ld-musl|libc\.musl/.test(text)) return 'it was built for another C library'
  return null
}

function isInstalled(platform) {
  try {
    require.resolve(`${BINARY}-${platform}/package.json`)
    return true
  } catch (_error) {
    return false
  }
}

// Without the stack of modules that Node.js adds on further lines.
const reason = (error) => String((error && error.message) || error).split('\n')[0]

function failure(lines) {
  const text = lines.length === 1 ? ` ${lines[0]}` : `\n  ${lines.join('\n  ')}`
  const error = new Error(`${BINARY}: the native addon could not be loaded:${text}`)
  error.code = 'ERR_KAFKA_PUBLISHER_ADDON'
  return error
}

/** Node.js 8 can load an addon once a process, also when `require.cache` was emptied meanwhile. */
function loadOnce() {
  const key = Symbol.for(`${__dirname}/${BINARY}`)
  if (!process[key]) Object.defineProperty(process, key, { value: load() })
  return process[key]
}

const native = /^v8\./.test(process.version) ? loadOnce() : load()

// Elsewhere the addon sets a handler of the C library's `exit`, which comes later.
if (process.versions.bun || process.platform === 'win32') process.on('exit', native.leave)

module.exports = native
