// One contender's process: does one task, sends the result to its parent, ends.

const { task, contender, ...job } = JSON.parse(process.argv[2])

const {
  load,
  open,
  openAtOnce = open,
  openInOutage,
} = await import(`./contenders/${contender}.mjs`)
const { run } = await import(`./tasks/${task}.mjs`)

const result = await run({ ...job, load, client: open, openAtOnce, openInOutage }).catch(
  (error) => ({
    error: error.message,
  })
)
// Whatever a client has left running must not keep the process.
process.send(result, () => process.exit())
