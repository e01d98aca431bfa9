// Node's cluster: four processes of one program, each with its publisher.

const cluster = require('node:cluster')
const path = require('node:path')

const WORKERS = 4
const options = JSON.parse(process.argv[2])

cluster.setupPrimary({ exec: path.join(__dirname, 'worker.cjs') })
for (let id = 0; id < WORKERS; id++) {
  cluster.setupPrimary({ args: [JSON.stringify({ ...options, id })] })
  cluster.fork()
}
cluster.on('exit', (_worker, code) => {
  if (code !== 0) process.exitCode = 1
})
