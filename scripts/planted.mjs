// `npm run test:planted`: bugs that are planted in a copy of the store, one after the other, each of which
// the model tests of src/fallback/model must find. `-- NAME...` for some.

import { execFile } from 'node:child_process'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { root, runMain, StepFailed } from './command.mjs'
import { cargoEnv } from './setup.mjs'

const COPY = path.join(root, 'target', 'planted')
const VERSION = /(name = "kafka-publisher"\n)version = "[^"]+"/
const COPIED = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'clippy.toml', 'src']

/** What is wrong, in which file below src/fallback, and the text that becomes another. */
const BUGS = [
  {
    name: 'progress goes before its file',
    file: 'removal.rs',
    from: '        match self.remove(&directory, id) {',
    to: '        self.segments[&id].remove_progress(&directory);\n        match self.remove(&directory, id) {',
  },
  {
    name: 'removal without a second look',
    file: 'removal.rs',
    from: 'if !segment.is_certain && segment.done.is_none() {',
    to: 'if false && !segment.is_certain && segment.done.is_none() {',
  },
  {
    name: 'what can not be removed is not marked as done',
    file: 'removal.rs',
    from: 'if let Err(error) = self.save_complete(&directory, id) {\n                    debug!',
    to: 'if false && let Err(error) = self.save_complete(&directory, id) {\n                    debug!',
  },
  {
    name: "a dead instance's lock is left there",
    file: 'rivals.rs',
    from: '        directory.remove_if_there(&names::lock(self.instance))',
    to: '        let _ = directory;\n        Ok(())',
  },
  {
    name: "a dead instance's lock stays open",
    file: 'rivals.rs',
    from: '        statement.write(lock)?;\n        directory.remove',
    to: '        statement.write(lock)?;\n        std::mem::forget(lock.try_clone()?);\n        directory.remove',
  },
  {
    name: 'a failed sync is ignored',
    file: 'writer/thread.rs',
    from: '&& let Err(error) = file.sync()\n',
    to: '&& let Err(error) = file.sync().or_else(|_| io::Result::Ok(()))\n',
  },
  {
    name: 'the writer takes an error of stat for gone',
    file: 'writer/thread.rs',
    from: 'Some(Ok(Presence::Removed)) => true,',
    to: 'Some(Ok(Presence::Removed) | Err(_)) => true,',
  },
  {
    name: 'the replayer takes any error for gone',
    file: 'backlog.rs',
    from: 'if error.kind() == io::ErrorKind::NotFound && self.instance.path().is_dir() {',
    to: 'if self.instance.path().is_dir() {',
  },
  {
    name: 'what is counted ahead is taken for read',
    file: 'replayer/reading.rs',
    from: 'if lines.end() < segment.counted() {',
    to: 'if false && lines.end() < segment.counted() {',
  },
  {
    name: 'whoever was taken over twice is certainly dead',
    file: 'adoption.rs',
    from: 'claim.is_certain && id.0 == owner',
    to: 'claim.is_certain',
  },
  {
    name: 'checksums are not looked at',
    file: 'record/parse.rs',
    from: 'if checksum == Checksum::Wrong {',
    to: 'if false && checksum == Checksum::Wrong {',
  },
  {
    name: 'lines of later versions are garbage',
    file: 'record.rs',
    from: 'matches!(self, Unreadable::ForLater(_))',
    to: 'false && matches!(self, Unreadable::ForLater(_))',
  },
  {
    name: 'rejected lines are kept nowhere',
    file: 'segment.rs',
    from: '        rejects.keep(reject)',
    to: '        let _ = (rejects, reject);\n        Ok(())',
  },
  {
    name: 'what is handed over is counted nowhere',
    file: 'writer/thread.rs',
    from: '.transfer(Place::Disk, Place::HandedOver, amount);',
    to: '.transfer(Place::Disk, Place::HandedOver, Amount::default());',
  },
  {
    name: 'what is discarded for the newest is not counted',
    file: 'replayer/pinned.rs',
    from: 'let amount = Amount { messages, bytes: 0 };',
    to: 'let amount = Amount { messages: messages / 2, bytes: 0 };',
  },
  {
    name: 'the progress of a file that is taken over stays behind',
    file: 'adoption.rs',
    from: 'let has_progress = match directory.read(&old_progress) {',
    to: 'let has_progress = match directory.read(".") {',
  },
]

async function plant({ file, from, to }) {
  await rm(COPY, { recursive: true, force: true })
  for (const one of COPIED)
    await cp(path.join(root, one), path.join(COPY, one), { recursive: true })
  // A package of its own: what cargo keeps of the real one is not touched.
  for (const one of ['Cargo.toml', 'Cargo.lock']) {
    await change(path.join(COPY, one), VERSION, '$1version = "0.0.0"')
  }
  await change(path.join(COPY, 'src', 'fallback', file), from, () => to)
}

/** Exactly one place in a file. */
async function change(at, from, to) {
  const text = await readFile(at, 'utf8')
  if (text.split(from).length < 2) throw new Error(`${at} has changed: there is no ${from}`)
  await writeFile(at, text.replace(from, to))
}

const CARGO = ['test', '--release', '--lib']

/** Whether a test fails, of those that a build without the bug passes. */
async function isFound() {
  const options = {
    cwd: COPY,
    env: {
      ...process.env,
      ...(await cargoEnv()),
      CARGO_TARGET_DIR: path.join(root, 'target'),
      // More than in each run of the tests: some bugs need a rare order of things.
      PROPTEST_CASES: '2000',
    },
    maxBuffer: 1 << 28,
  }
  const run = (...args) => promisify(execFile)('cargo', [...CARGO, ...args], options)
  await run('--no-run')
  return run('fallback::model').then(
    () => false,
    ({ stdout }) => /^test result: FAILED/m.test(stdout)
  )
}

await runMain(async () => {
  const wanted = process.argv.slice(2)
  const bugs = BUGS.filter(({ name }) => !wanted.length || wanted.some((w) => name.includes(w)))
  const missed = []
  for (const bug of bugs) {
    await plant(bug)
    const found = await isFound()
    console.log(`${found ? 'found ' : 'MISSED'}  ${bug.name}`)
    if (!found) missed.push(bug.name)
  }
  await rm(COPY, { recursive: true, force: true })
  if (missed.length) throw new StepFailed(`not found: ${missed.join('; ')}`)
})
