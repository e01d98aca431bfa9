module.exports = {
  roots: ['<rootDir>/__test__'],
  testMatch: ['**/*.test.js'],
  globalSetup: './__test__/support/global-setup.js',
  globalTeardown: './__test__/support/global-teardown.js',
  // The tests are run as they are written, on the Node that runs them.
  transform: {},
  // More than a small machine has cores: most of the time the tests wait for an outage to be noticed.
  maxWorkers: 3,
  // A ceiling that a busy machine keeps, too; what a test waits for has its own, lower (until.js).
  testTimeout: 300_000,
}
