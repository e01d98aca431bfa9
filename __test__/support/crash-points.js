// The way of crash tests: a scenario is run again and again, and its nth system call on a directory is
// where the process dies, or what fails, for every n.

// Points at once: they have directories and clusters of their own.
const SIDE_BY_SIDE = 8
const MOST_POINTS = 400

const points = (faults) => faults.points()

/**
 * What is done to the faults of a process at its nth call, how many such calls there are, and whether the
 * process dies of it.
 */
const CRASHES = [
  ['it dies at any system call', { spoil: (faults, n) => faults.killAt(n), points, dies: true }],
  [
    'it dies in the midst of any write',
    {
      spoil: (faults, n) => faults.tearAt(n),
      points: (faults) => faults.calls('write'),
      dies: true,
    },
  ],
  ['an error comes at any system call', { spoil: (faults, n) => faults.failAt(n), points }],
]

/**
 * Runs a scenario once as it is, to see how many calls it has, and then for every one of them.
 *
 * @param {object} crash of CRASHES
 * @param {(spoil: (faults: Faults) => void) => Promise<{faults: Faults}>} scenario resolves with what came
 *   of it
 * @param {(n: number, found: object) => void} check
 */
async function atEveryPoint({ spoil, points }, scenario, check) {
  const whole = await scenario(() => {})
  check(0, whole)
  const count = points(whole.faults)
  expect(count).toBeGreaterThan(2)
  const all = Array.from({ length: Math.min(count, MOST_POINTS) }, (_, i) => i + 1)
  const worker = async () => {
    for (let n = all.shift(); n !== undefined; n = all.shift()) {
      check(n, await scenario((faults) => spoil(faults, n)))
    }
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker))
}

module.exports = { CRASHES, atEveryPoint }
