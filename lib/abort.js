// Promises that an AbortSignal ends. Parses on Node.js 8.

/**
 * A promise that is rejected when the signal is aborted; without a signal, the promise itself.
 *
 * @param {(id: number) => Promise<void>} begin
 * @param {(id: number) => void} forget what was begun is not waited for any more
 */
function abortable(options, begin, forget) {
  const signal = options === undefined || options === null ? undefined : options.signal
  if (signal === undefined || signal === null) return begin(0)
  if (typeof signal !== 'object' || typeof signal.addEventListener !== 'function') {
    return Promise.reject(new TypeError('signal takes an AbortSignal'))
  }
  if (signal.aborted) return Promise.reject(reasonOf(signal))
  const id = nextId++
  return new Promise((resolve, reject) => {
    const aborted = () => {
      forget(id)
      reject(reasonOf(signal))
    }
    const done = (settle) => (value) => {
      signal.removeEventListener('abort', aborted)
      settle(value)
    }
    signal.addEventListener('abort', aborted, { once: true })
    begin(id).then(done(resolve), done(reject))
  })
}

let nextId = 1

/** As `fetch` has it; old signals know no reason. */
function reasonOf(signal) {
  if (signal.reason !== undefined) return signal.reason
  const error = new Error('The operation was aborted')
  error.name = 'AbortError'
  error.code = 'ABORT_ERR'
  return error
}

module.exports = { abortable }
