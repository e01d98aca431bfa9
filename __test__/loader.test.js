// load.js finds the addon, or says what it looked for and why it failed.

const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const root = path.resolve(__dirname, '..')
const platform = require('./support/platform')
const addon = path.join(root, `kafka-publisher.${platform}.node`)
const other = platform.startsWith('darwin') ? 'linux-x64-gnu' : 'darwin-arm64'

let folder
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kafka-publisher-loader-'))
  for (const name of ['load.js', 'index.js']) {
    fs.copyFileSync(path.join(root, name), path.join(folder, name))
  }
  fs.cpSync(path.join(root, 'lib'), path.join(folder, 'lib'), { recursive: true })
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

/** Loads the copy in a process of its own; resolves with what came of it. */
function load({ env = {}, before = '' } = {}) {
  const script = `${before}
    try { console.log(Object.keys(require(${JSON.stringify(path.join(folder, 'index.js'))}))) }
    catch (error) { console.log(error.code, error.message) }`
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env }, cwd: folder }
    execFile(process.execPath, ['-e', script], options, (error, stdout) =>
      error ? reject(error) : resolve(stdout.trim())
    )
  })
}

/** A package for a platform, with this as its addon. */
function makePackage(name, content) {
  const home = path.join(folder, 'node_modules', `kafka-publisher-${name}`)
  const main = `kafka-publisher.${name}.node`
  fs.mkdirSync(home, { recursive: true })
  fs.writeFileSync(path.join(home, 'package.json'), JSON.stringify({ main }))
  if (content === undefined) fs.copyFileSync(addon, path.join(home, main))
  else fs.writeFileSync(path.join(home, main), content)
}

const placeLocal = (content) => {
  const file = path.join(folder, `kafka-publisher.${platform}.node`)
  if (content === undefined) fs.copyFileSync(addon, file)
  else fs.writeFileSync(file, content)
}

const LOADED = "[ 'KafkaPublisher' ]"
const FAILED = 'ERR_KAFKA_PUBLISHER_ADDON kafka-publisher: the native addon could not be loaded:'

test('a local build is loaded', async () => {
  placeLocal()
  expect(await load()).toBe(LOADED)
})

test("the platform's package is loaded", async () => {
  makePackage(platform)
  expect(await load()).toBe(LOADED)
})

test("a local build goes before the platform's package", async () => {
  placeLocal()
  makePackage(platform, 'nonsense')
  expect(await load()).toBe(LOADED)
})

test("the platform's package is loaded if the local build cannot be", async () => {
  placeLocal('nonsense')
  makePackage(platform)
  expect(await load()).toBe(LOADED)
})

test('NAPI_RS_NATIVE_LIBRARY_PATH is loaded, and nothing else', async () => {
  expect(await load({ env: { NAPI_RS_NATIVE_LIBRARY_PATH: addon } })).toBe(LOADED)
  placeLocal()
  const wrong = path.join(folder, 'none.node')
  const told = await load({ env: { NAPI_RS_NATIVE_LIBRARY_PATH: wrong } })
  expect(told).toMatch(FAILED)
  expect(told).toMatch(`NAPI_RS_NATIVE_LIBRARY_PATH names '${wrong}', and nothing else was tried`)
})

test('without any: what was looked for, and what may have kept npm from installing it', async () => {
  const told = await load()
  expect(told).toMatch(FAILED)
  expect(told).toMatch(`'./kafka-publisher.${platform}.node': not there`)
  expect(told).toMatch(`'kafka-publisher-${platform}': not there`)
  expect(told).toMatch('--omit=optional')
  expect(told).toMatch('https://github.com/npm/cli/issues/4828')
})

test("with another platform's package: that node_modules was made elsewhere", async () => {
  makePackage(other)
  const told = await load()
  expect(told).toMatch(`installed is the package for ${other}, and this is ${platform}`)
  expect(told).not.toMatch('4828')
})

test('with a package that the system cannot load: the reason of the system', async () => {
  makePackage(platform, 'nonsense')
  const told = await load()
  expect(told).toMatch(FAILED)
  expect(told).toMatch(
    new RegExp(`'kafka-publisher-${platform}': .*(too short|invalid|slice|valid)`)
  )
})

test('on a platform without a prebuilt addon: the platforms there are', async () => {
  const before = "Object.defineProperty(process, 'arch', { value: 'mips' });"
  expect(await load({ before })).toMatch(/there is no prebuilt addon for \w+-mips.*linux-x64-gnu/)
})

test.each([
  ['8.16.0', '3'],
  ['4.0.0', undefined],
])('without Node-API 4 (as on %s): one sentence', async (version, napi) => {
  placeLocal()
  const versions = JSON.stringify({ node: version, napi })
  const before = `Object.defineProperty(process, 'versions', { value: ${versions} });
    Object.defineProperty(process, 'version', { value: 'v${version}' });`
  expect(await load({ before })).toBe(
    `${FAILED} it needs Node-API 4, which Node.js has from 8.16 in 8, from 10.16 in 10, and from 11.8 on; this is v${version}`
  )
})

test('load.js and the packages below npm/ name the same platforms', () => {
  const text = fs.readFileSync(path.join(root, 'load.js'), 'utf8')
  const listed = [...text.matchAll(/^ {2}'(.+)',$/gm)].map(([, name]) => name)
  expect(listed).toHaveLength(require('../package.json').napi.targets.length)
  expect(listed.sort()).toEqual(fs.readdirSync(path.join(root, 'npm')).sort())
})

if (process.platform === 'linux') {
  const mapped = (libc) => `
    const fs = require('fs'); const read = fs.readFileSync
    fs.readFileSync = (file, ...rest) => {
      if (file === '/proc/self/maps') ${libc === null ? "throw new Error('none')" : `return '7f00 r-xp /lib/${libc}'`}
      return file === '/usr/bin/ldd' ? '# ldd of musl' : read(file, ...rest)
    };`
  const withReport = (report) =>
    `Object.defineProperty(process, 'report', { value: ${report}, configurable: true });`

  test.each([
    ['musl is mapped', mapped('ld-musl-x86_64.so.1'), 'musl'],
    ['glibc is mapped', mapped('libc.so.6'), 'gnu'],
    ['the report has glibc', mapped(null), 'gnu'],
    [
      'the report has objects of musl',
      mapped(null) +
        withReport(
          "{ getReport: () => ({ header: {}, sharedObjects: ['/lib/ld-musl-x86_64.so.1'] }) }"
        ),
      'musl',
    ],
    ['without a report, ldd is musl’s', mapped(null) + withReport('undefined'), 'musl'],
  ])('the C library is recognised: %s', async (_, before, libc) => {
    expect(await load({ before })).toMatch(`linux-${process.arch}-${libc}.node`)
  })
}
