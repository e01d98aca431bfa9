// What the package promises, as one plain script for every runtime there is, from Node.js 8 on: no
// test runner and no syntax that it lacks. Run as `RUNTIME __test__/conformance/main.cjs [PACKAGE]`,
// with the folder of the package to test; each promise is a line of the output.

const { inTime, cleanUp, runtime } = require('./support.cjs')

const PARTS = [
  'publishing',
  'records',
  'telling',
  'refusing',
  'logging',
  'outage',
  'replay',
  'ending',
]

async function main() {
  const outcomes = { passed: 0, failed: 0 }
  for (const part of PARTS) {
    const promises = require(`./${part}.cjs`)
    for (const name of Object.keys(promises)) {
      const begin = Date.now()
      const error = await inTime(promises[name]).then(
        () => null,
        (failure) => failure
      )
      const what = `${part}: ${name} (${Date.now() - begin} ms)`
      console.log(error ? `FAILED ${what}\n${error.stack || error}` : `ok     ${what}`)
      outcomes[error ? 'failed' : 'passed'] += 1
      await cleanUp()
    }
  }
  console.log(`${runtime}: ${outcomes.passed} passed, ${outcomes.failed} failed`)
  if (outcomes.failed > 0) process.exitCode = 1
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
