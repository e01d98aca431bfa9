'use strict'

// Finds the native addon and exports what it defines. Parses on Node 8.

function load() {
  var explicit = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (explicit) return require(explicit)
  var name = 'kafka-publisher.' + target() + '.node'
  try {
    return require('./' + name)
  } catch (error) {
    error.message = "kafka-publisher: the native addon './" + name + "' could not be loaded: " + error.message
    throw error
  }
}

function target() {
  if (process.platform !== 'linux') {
    return process.platform + '-' + process.arch + (process.platform === 'win32' ? '-msvc' : '')
  }
  return 'linux-' + process.arch + '-' + (isMusl() ? 'musl' : 'gnu')
}

function isMusl() {
  if (!process.report || typeof process.report.getReport !== 'function') return false
  var report = process.report.getReport()
  return !(typeof report === 'string' ? JSON.parse(report) : report).header.glibcVersionRuntime
}

var native = load()

exports.KafkaPublisher = native.KafkaPublisher
