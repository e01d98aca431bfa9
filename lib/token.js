// The user's function for OAUTHBEARER tokens, as the addon asks it. Parses on Node.js 8.

const { describe, kindOf } = require('./text')

/** A smaller number is a time from now, in milliseconds, and no time since 1970. */
const EPOCH_FROM = 1e11

/**
 * @param {() => object | Promise<object>} source the option `oauthToken`
 * @param {(answer: string) => void} tell gets JSON: a token, or a `failure`
 */
function askWith(source, tell) {
  return () => {
    new Promise((resolve) => resolve(source()))
      .then(tokenOf)
      .then(
        (token) => tell(JSON.stringify(token)),
        (error) => tell(JSON.stringify({ failure: describe(error) }))
      )
      // The publisher has ended.
      .then(undefined, () => {})
  }
}

function tokenOf(answer) {
  if (typeof answer !== 'object' || answer === null)
    throw new Error('it returned ' + kindOf(answer))
  const { value, principal, lifetimeMs, extensions } = answer
  if (typeof value !== 'string' || value === '') throw new Error('its value is no string')
  if (typeof lifetimeMs !== 'number' || !(lifetimeMs > 0)) {
    throw new Error('its lifetimeMs is no number above 0')
  }
  const pairs = []
  for (const name of Object.keys(extensions || {})) pairs.push(name, String(extensions[name]))
  return {
    value,
    principal: principal === undefined || principal === null ? '' : String(principal),
    expiresMs: Math.floor(lifetimeMs < EPOCH_FROM ? Date.now() + lifetimeMs : lifetimeMs),
    extensions: pairs,
  }
}

module.exports = { askWith }
