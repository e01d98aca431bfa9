// Finds the native addon. Parses on Node 8.

function load() {
  const explicit = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (explicit) return require(explicit)
  const file = `./kafka-publisher.${target()}.node`
  try {
    return require(file)
  } catch (error) {
    error.message = `kafka-publisher: the native addon '${file}' could not be loaded: ${error.message}`
    throw error
  }
}

function target() {
  if (process.platform !== 'linux') {
    return `${process.platform}-${process.arch}${process.platform === 'win32' ? '-msvc' : ''}`
  }
  return `linux-${process.arch}-${isMusl() ? 'musl' : 'gnu'}`
}

function isMusl() {
  if (!process.report || typeof process.report.getReport !== 'function') return false
  const report = process.report.getReport()
  return !(typeof report === 'string' ? JSON.parse(report) : report).header.glibcVersionRuntime
}

module.exports = load()
