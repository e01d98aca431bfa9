module.exports = {
  roots: ['<rootDir>/__test__'],
  testMatch: ['**/*.test.js'],
  // The tests are run as they are written, on the Node that runs them.
  transform: {},
  // One file after the other: publishers, brokers and JVMs together fill a small machine.
  maxWorkers: 1,
  testTimeout: 60_000,
}
