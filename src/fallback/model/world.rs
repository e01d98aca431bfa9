//! A directory, the process that has it, and the model beside them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::backlog::GRACE;
use super::super::clock::pass;
use super::super::names::{self, FileKind, SegmentId};
use super::super::record;
use super::super::replayer::{Offer, Permission, Verdicts};
use super::messages::{Messages, TOPICS};
use super::process::{Process, SHARE, Settings, value};
use super::{Action, Crash, Damage, Fate};

/// More than any message of the model costs.
const LARGEST: u64 = 512;

#[derive(Clone, Copy)]
struct Offered {
    id: u64,
    number: u64,
    cost: u64,
}

/// What an ended process had settled, if a crash may repeat no more than [`SHARE`] of it.
type Settled = HashMap<u64, u64>;

pub struct World {
    directory: TempDir,
    process: Option<Process>,
    messages: Messages,
    on_its_way: Vec<Offered>,
    /// Offered since [`Permission::One`] was granted.
    ones: Option<u32>,
    settled: Settled,
    /// A topic was left behind, for which more than the share may be repeated.
    was_returned: bool,
    before: Option<Settled>,
    /// Cost of what was settled in the last life, too.
    repeated: u64,
    old_progress: HashMap<PathBuf, Vec<u8>>,
}

impl World {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        World {
            process: Some(Process::start(directory.path(), Settings::default())),
            directory,
            messages: Messages::default(),
            on_its_way: Vec::new(),
            ones: None,
            settled: Settled::new(),
            was_returned: false,
            before: None,
            repeated: 0,
            old_progress: HashMap::new(),
        }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub fn act(&mut self, action: &Action) {
        match action {
            Action::Append(topics) => self.append(topics),
            Action::Seal => self.process().writer.seal(),
            Action::Grant(permission) => self.grant(*permission),
            Action::Step(count) => (0..*count).for_each(|_| self.step()),
            Action::Verdicts(verdicts) => self.decide(verdicts),
            Action::Resume(topic) => {
                let topic = self.process().topics.intern(TOPICS[usize::from(*topic)]);
                self.process().replay.resume(topic);
            }
            Action::Restart => self.restart(),
            Action::Crash(crash) => self.crash(crash),
        }
        for path in self.progress() {
            let bytes = fs::read(&path).unwrap();
            self.old_progress.entry(path).or_insert(bytes);
        }
    }

    pub fn check(&mut self) {
        self.process().check();
        if self.before.is_some() {
            assert!(self.repeated <= SHARE + LARGEST, "{}", self.repeated);
        }
    }

    fn append(&mut self, topics: &[u8]) {
        let messages: Vec<(u64, u8)> = topics
            .iter()
            .map(|topic| (self.messages.next_number(), *topic))
            .collect();
        self.process().append(&messages);
        let mut found = HashMap::new();
        for path in self.segments() {
            let text = fs::read(&path).unwrap();
            for (number, _) in numbers(&text) {
                found.insert(number, id_of(&path));
            }
        }
        for (number, topic) in messages {
            let path = found.get(&number).expect("a message that was appended");
            self.messages.written(number, topic, *path);
        }
    }

    fn grant(&mut self, permission: Permission) {
        self.ones = (permission == Permission::One).then_some(0);
        self.process().replay.grant(permission);
    }

    fn step(&mut self) {
        let process = self.process.as_mut().unwrap();
        process.replay.step(&process.offers);
        while let Ok(offer) = process.offered.try_recv() {
            let Offer::Messages { first_id, batch } = offer else {
                continue;
            };
            for (id, (record, content)) in (first_id..).zip(batch.remaining_messages()) {
                let number = record.timestamp as u64;
                assert_eq!(content.key, b"\"key\"");
                assert_eq!(content.value, value(number).as_bytes());
                self.messages
                    .offered(number, &process.topics.name(record.topic));
                self.on_its_way.push(Offered {
                    id,
                    number,
                    cost: content.amount().cost(),
                });
                if let Some(ones) = &mut self.ones {
                    *ones += 1;
                    assert_eq!(*ones, 1, "one message is a trial");
                }
            }
        }
        let cost: u64 = self.on_its_way.iter().map(|offered| offered.cost).sum();
        assert!(cost <= SHARE + LARGEST, "{cost} on its way");
    }

    fn decide(&mut self, chosen: &[(u16, Fate)]) {
        let mut verdicts = Verdicts::default();
        for (pick, fate) in chosen {
            if self.on_its_way.is_empty() {
                break;
            }
            let at = usize::from(*pick) % self.on_its_way.len();
            let offered = self.on_its_way.remove(at);
            self.decide_one(offered, *fate, &mut verdicts);
        }
        self.process().replay.hear(verdicts);
    }

    fn decide_one(&mut self, offered: Offered, fate: Fate, verdicts: &mut Verdicts) {
        self.messages.decided(offered.number, fate);
        match fate {
            Fate::Delivered => verdicts.delivered.push(offered.id),
            Fate::Rejected => verdicts.rejected.push((offered.id, "refused".into())),
            Fate::Returned => {
                verdicts.returned.push(offered.id);
                self.was_returned = true;
                return;
            }
        }
        self.settled.insert(offered.number, offered.cost);
        if let Some(before) = &mut self.before
            && let Some(cost) = before.remove(&offered.number)
        {
            self.repeated += cost;
        }
    }

    fn decide_all(&mut self, fate: Fate) {
        let mut verdicts = Verdicts::default();
        for offered in std::mem::take(&mut self.on_its_way) {
            self.decide_one(offered, fate, &mut verdicts);
        }
        self.process().replay.hear(verdicts);
    }

    /// Nothing of what the replayer has heard of is repeated after this, but for topics left behind.
    fn restart(&mut self) {
        let was_returned = self.was_returned;
        self.decide_all(Fate::Returned);
        self.was_returned = was_returned;
        self.process.take().unwrap().end();
        self.begin(false, true);
    }

    fn crash(&mut self, crash: &Crash) {
        let process = self.process.take().unwrap();
        let own = process.instance.uuid;
        drop(process);
        if let Some(cut) = crash.cut {
            let is_own = |path: &PathBuf| {
                let name = path.file_name().unwrap().to_str().unwrap();
                matches!(names::kind(name), FileKind::Segment { id, .. } if id.0 == own)
            };
            // The last one may be sealed: then its end was torn before that, by a disk that failed.
            let last = self.segments().into_iter().filter(is_own).max();
            last.into_iter().for_each(|path| self.cut(&path, cut));
        }
        if let Some(damage) = &crash.damage {
            for path in self.progress() {
                self.damage(&path, damage);
            }
        }
        self.on_its_way.clear();
        self.begin(crash.delivered, crash.damage.is_none());
    }

    fn begin(&mut self, delivered: bool, is_bounded: bool) {
        self.messages.process_ended(delivered);
        let settled = std::mem::take(&mut self.settled);
        self.before = (is_bounded && !self.was_returned).then_some(settled);
        self.was_returned = false;
        self.repeated = 0;
        self.ones = None;
        self.process = Some(Process::start(self.directory.path(), Settings::default()));
    }

    fn cut(&mut self, path: &Path, bytes: u16) {
        let text = fs::read(path).unwrap();
        let length = text.len().saturating_sub(usize::from(bytes));
        for (number, line) in numbers(&text) {
            if line.end > length {
                self.messages.cut(number, line.start < length);
            }
        }
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(length as u64).unwrap();
    }

    fn damage(&self, path: &Path, damage: &Damage) {
        let mut bytes = fs::read(path).unwrap();
        let at = |number: u16| usize::from(number) % bytes.len();
        match damage {
            Damage::Flip(number) => {
                let at = at(*number);
                bytes[at] ^= 1 << (number % 8);
            }
            Damage::Cut(number) => bytes.truncate(at(*number)),
            Damage::Zeros => bytes.fill(0),
            Damage::Lost => return fs::remove_file(path).unwrap(),
            Damage::Stale => bytes.clone_from(&self.old_progress[path]),
            Damage::Swapped => {
                let others = self.old_progress.iter();
                let mut others: Vec<_> = others.filter(|(other, _)| *other != path).collect();
                others.sort();
                if let Some((_, other)) = others.first() {
                    bytes.clone_from(other);
                }
            }
        }
        fs::write(path, bytes).unwrap();
    }

    /// All is well from now on.
    pub fn finish(mut self) {
        self.restart();
        self.grant(Permission::Flow);
        for _ in 0..10_000 {
            pass(GRACE);
            self.step();
            self.decide_all(Fate::Delivered);
            self.check();
            let counts = self.process().statistics.counts();
            if counts.disk.messages == 0 && self.segments().is_empty() {
                break;
            }
        }
        self.process.take().unwrap().end();
        assert_eq!(self.messages.unsettled(), [0; 0], "lost");
        let mut kept = Vec::new();
        for path in self.paths(|kind| matches!(kind, FileKind::Rejected { .. })) {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let reject: serde_json::Value = serde_json::from_str(line).unwrap();
                let line = reject["line"].as_str().unwrap();
                kept.extend(numbers(line.as_bytes()).iter().map(|(number, _)| *number));
            }
            fs::remove_file(path).unwrap();
        }
        for number in self.messages.only_rejected() {
            assert!(kept.contains(&number), "{number} is in no .rejected file");
        }
        let left: Vec<_> = fs::read_dir(self.directory.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn segments(&self) -> Vec<PathBuf> {
        self.paths(|kind| matches!(kind, FileKind::Segment { .. }))
    }

    fn progress(&self) -> Vec<PathBuf> {
        self.paths(|kind| matches!(kind, FileKind::Progress { .. }))
    }

    fn paths(&self, is_wanted: impl Fn(FileKind) -> bool) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| is_wanted(names::kind(path.file_name().unwrap().to_str().unwrap())))
            .collect();
        paths.sort();
        paths
    }
}

fn id_of(path: &Path) -> SegmentId {
    match names::kind(path.file_name().unwrap().to_str().unwrap()) {
        FileKind::Segment { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// The numbers of the messages in a file's text, and where their lines are.
fn numbers(text: &[u8]) -> Vec<(u64, std::ops::Range<usize>)> {
    let mut all = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        if let Ok(message) = record::parse(line.trim_ascii_end()) {
            all.push((message.timestamp.unwrap() as u64, start..end));
        }
        start = end;
    }
    all
}
