// Text of values: JSON as 0.1.x had it, and words for what went wrong. Parses on Node.js 8.

const stringify = JSON.stringify
/** Of what the log says of an error, in characters. */
const LONGEST = 500

// JSON.stringify for values that refer to themselves: such a reference becomes
// "[Circular ~]" (the whole value) or "[Circular ~.path.to.it]", as json-stringify-safe has it.
function stringifySafely(value) {
  const holders = []
  const path = []
  return stringify(value, function (key, item) {
    if (holders.length === 0) {
      holders.push(item)
      return item
    }
    const depth = holders.indexOf(this)
    if (depth === -1) {
      holders.push(this)
      path.push(key)
    } else {
      holders.length = depth + 1
      path.length = depth
      path.push(key)
    }
    const at = holders.indexOf(item)
    if (at === -1) return item
    return at === 0 ? '[Circular ~]' : '[Circular ~.' + path.slice(0, at).join('.') + ']'
  })
}

/** Whether JSON.stringify threw this because a value refers to itself: no other error is worth a second try. */
function isCircular(error) {
  try {
    return /circular|cyclic/i.test(error.message)
  } catch (_error) {
    return false
  }
}

/** The first line of what was thrown, shortened, even where it has no text. */
function describe(thrown) {
  try {
    return String((thrown && thrown.message) || thrown)
      .slice(0, LONGEST)
      .split('\n')[0]
  } catch (_error) {
    return 'a value without text'
  }
}

/** What a value is, for an error. */
function kindOf(value) {
  if (value === null) return 'null'
  const type = typeof value
  return type === 'undefined' ? type : 'a ' + type
}

/** JSON text, or why there is none. A value is serialised once; one that refers to itself, twice. */
function toJSON(value) {
  let problem
  try {
    const text = stringify(value)
    return typeof text === 'string'
      ? { text, problem: null }
      : { text: '', problem: 'it has no JSON text' }
  } catch (error) {
    problem = error
  }
  return retryJSON(value, problem)
}

/** The same, after JSON.stringify has thrown `error`. */
function retryJSON(value, error) {
  if (!isCircular(error)) return { text: '', problem: describe(error) }
  try {
    const text = stringifySafely(value)
    return typeof text === 'string'
      ? { text, problem: null }
      : { text: '', problem: 'it has no JSON text' }
  } catch (again) {
    return { text: '', problem: describe(again) }
  }
}

/** A key's JSON text, or what is wrong with it. */
function encodeKey(key) {
  const takes =
    typeof key === 'object' ? key !== null : typeof key === 'string' || typeof key === 'number'
  return takes ? toJSON(key) : { text: '', problem: 'it is ' + kindOf(key) }
}

/** A message's JSON text, or what is wrong with it; `text` or `error` is what JSON.stringify gave. */
function encodeValue(message, text, error) {
  if (typeof text === 'string') return { text, problem: null }
  if (error) return retryJSON(message, error.thrown)
  if (typeof message === 'object' && message !== null)
    return { text: '', problem: 'it has no JSON text' }
  return { text: '', problem: 'it is ' + kindOf(message) }
}

module.exports = { stringify, encodeKey, encodeValue, toJSON, describe, kindOf }
