//! Several processes on one directory, which die in the midst of what they do, are taken for dead, meet
//! with a disk that fails, and with lines that others have left.

mod judgement;
mod lines;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uuid::Uuid;

use super::super::clock::{now, pass};
use super::super::faults::{self, Call};
use super::super::names::{self, FileKind};
use super::super::replayer::{Offer, Permission, Verdicts};
use super::process::{Process, Settings, value};
use super::{Fate, Plight, Task};
use crate::message::{Reason, now_ms};
use crate::options::Fsync;
use crate::statistics::Statistics;
use lines::{line, number_in, numbers};
use writing::write;

/// More than any message of the model costs.
const LARGEST: u64 = 512;
/// An owner looks at its file before it writes; so long it may take from there to the write.
const BLINK: Duration = Duration::from_secs(4);
/// Before that, whoever notices has noticed.
const LONG: Duration = Duration::from_secs(6);

struct Offered {
    id: u64,
    number: u64,
    cost: u64,
}

struct Member {
    /// Its place among all lives.
    life: usize,
    process: Process,
    on_its_way: Vec<Offered>,
}

/// What has become of a message.
#[derive(Default)]
struct Fates {
    /// In which life it was last.
    delivered: Option<usize>,
    /// The line has something that this version does not know: it must stay.
    is_held: bool,
}

/// What was settled in it and published again later, by cost, and how much of that may be.
#[derive(Default)]
struct Life {
    repeated: u64,
    may_repeat: u64,
}

pub struct Crowd {
    directory: TempDir,
    settings: Settings,
    members: Vec<Member>,
    messages: BTreeMap<u64, Fates>,
    discarded: u64,
    lives: Vec<Life>,
    /// Something has happened after which anything may be published again.
    is_lax: bool,
    /// An owner that was taken for dead can't always tell a file that was taken over from one that is lost.
    was_deposed: bool,
    /// Files whose owners are not known, and when these have last looked at them.
    strangers: Vec<(File, Instant)>,
}

impl Crowd {
    pub fn new(settings: Settings) -> Self {
        let mut crowd = Crowd {
            directory: tempfile::tempdir().unwrap(),
            settings,
            members: Vec::new(),
            messages: BTreeMap::new(),
            discarded: 0,
            lives: Vec::new(),
            is_lax: false,
            was_deposed: false,
            strangers: Vec::new(),
        };
        crowd.begin();
        crowd.begin();
        crowd
    }

    fn begin(&mut self) {
        let mut process = Process::start(self.directory.path(), self.settings);
        process.replay.grant(Permission::Flow);
        self.lives.push(Life::default());
        self.members.push(Member {
            life: self.lives.len() - 1,
            process,
            on_its_way: Vec::new(),
        });
    }

    pub fn meet(&mut self, who: u8, plight: &Plight) {
        let at = usize::from(who) % self.members.len();
        match plight {
            Plight::None(task) => self.work(at, task),
            Plight::Failing(call, task) => {
                // Then what is settled can't be written down.
                let is_harmless = matches!(
                    call,
                    Call::Remove | Call::Archive | Call::Sync | Call::Write | Call::List
                );
                if !is_harmless {
                    self.is_lax = true;
                }
                faults::with(Some(*call), None, || self.work(at, task));
            }
            Plight::Dies(calls, task) => {
                faults::with(None, Some(u32::from(*calls) + 1), || self.work(at, task));
                self.crash(at, false, false);
            }
            Plight::Crash(delivered) => self.crash(at, *delivered, false),
            Plight::PowerCut => self.crash(at, false, true),
            Plight::Ends => self.end(at),
            Plight::Deposed => {
                let lock = names::lock(self.members[at].process.instance.uuid);
                if fs::remove_file(self.directory.path().join(lock)).is_ok() {
                    self.is_lax = true;
                    self.was_deposed = true;
                }
            }
            Plight::Stranger(is_held) => self.leave(*is_held),
            Plight::LateLine => self.append_late(),
            Plight::BitFlips(pick) => self.flip(*pick),
            Plight::Time(seconds) => (0..*seconds).for_each(|_| {
                pass(Duration::from_secs(1));
                for member in &mut self.members {
                    member.process.writer.beat();
                }
            }),
        }
        for member in &self.members {
            member.process.check_law();
            let counts = member.process.statistics.counts();
            let removed = counts.discarded_for(Reason::FileRemoved);
            assert!(removed == 0 || self.was_deposed, "{removed} removed");
        }
        assert!(self.open_locks() <= self.members.len(), "locks stay open");
    }

    fn work(&mut self, at: usize, task: &Task) {
        match task {
            Task::Append(topics, is_old) => self.append(at, topics, *is_old),
            Task::Seal => self.members[at].process.writer.seal(),
            Task::Step(count) => (0..*count).for_each(|_| self.step(at)),
            Task::Decide(fates) => self.decide(at, fates),
            Task::Finish => {
                for _ in 0..12 {
                    self.step(at);
                    self.decide_all(at);
                }
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        let number = self.messages.len() as u64;
        self.messages.insert(number, Fates::default());
        number
    }

    fn append(&mut self, at: usize, topics: &[u8], is_old: bool) {
        let timestamp = if is_old { 1000 } else { now_ms() };
        let messages: Vec<_> = topics
            .iter()
            .map(|topic| (self.next_number(), *topic, timestamp))
            .collect();
        let batch = self.members[at].process.accept(&messages);
        let is_limited = self.settings.max_bytes.is_some();
        write(&mut self.members[at].process, batch, is_limited);
        self.drain(at);
    }

    fn step(&mut self, at: usize) {
        let process = &mut self.members[at].process;
        process.replay.step(&process.offers);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let Member {
            process,
            on_its_way,
            ..
        } = &mut self.members[at];
        while let Ok(offer) = process.offered.try_recv() {
            let Offer::Messages { first_id, batch } = offer else {
                continue;
            };
            for (id, (_, content)) in (first_id..).zip(batch.remaining_messages()) {
                let number = number_in(content.value).expect("a message of the model's");
                assert_eq!(content.value, value(number).as_bytes(), "a bit has flipped");
                let cost = content.amount().cost();
                on_its_way.push(Offered { id, number, cost });
            }
        }
    }

    fn decide(&mut self, at: usize, fates: &[(u16, Fate)]) {
        let mut verdicts = Verdicts::default();
        for (pick, fate) in fates {
            // Nobody hears what becomes of a dead one's.
            if faults::is_dead() {
                return;
            }
            let on_its_way = &mut self.members[at].on_its_way;
            if on_its_way.is_empty() {
                break;
            }
            let offered = on_its_way.remove(usize::from(*pick) % on_its_way.len());
            match fate {
                Fate::Delivered => {
                    verdicts.delivered.push(offered.id);
                    self.delivered(self.members[at].life, &offered);
                }
                Fate::Rejected => verdicts.rejected.push((offered.id, "refused".into())),
                Fate::Returned => {
                    verdicts.returned.push(offered.id);
                    // More than the share may be repeated for a topic that is left behind.
                    self.is_lax = true;
                }
            }
        }
        self.members[at].process.replay.hear(verdicts);
    }

    fn decide_all(&mut self, at: usize) {
        let all = vec![(0, Fate::Delivered); self.members[at].on_its_way.len()];
        self.decide(at, &all);
    }

    fn delivered(&mut self, life: usize, offered: &Offered) {
        let fates = self.messages.get_mut(&offered.number).unwrap();
        assert!(!fates.is_held, "{}", offered.number);
        if let Some(before) = fates.delivered.replace(life) {
            let before = &mut self.lives[before];
            before.repeated += offered.cost;
            assert!(
                self.is_lax || before.repeated <= before.may_repeat,
                "{} of {} are published again",
                before.repeated,
                before.may_repeat
            );
        }
    }

    fn crash(&mut self, at: usize, delivered: bool, is_power_cut: bool) {
        let mut member = self.members.swap_remove(at);
        if delivered {
            for offered in std::mem::take(&mut member.on_its_way) {
                self.delivered(member.life, &offered);
            }
        }
        self.discarded += discarded(&member.process.statistics);
        let (own, life) = (member.process.instance.uuid, member.life);
        drop(member);
        self.lives[life].may_repeat = self.settings.share + LARGEST;
        // What was not synced is promised to nobody unless each line is.
        if is_power_cut && self.settings.fsync == Fsync::Always {
            for path in self.paths(
                |kind| matches!(kind, FileKind::Segment { owner, id } if owner == own && id.0 == own),
            ) {
                let file = File::options().write(true).open(path).unwrap();
                let status = file.metadata().unwrap();
                if let Some(synced) = faults::synced(status.ino())
                    && synced < status.len()
                {
                    file.set_len(synced).unwrap();
                }
            }
        }
        self.begin();
    }

    /// As it should. What is on its way comes back.
    fn end(&mut self, at: usize) {
        let returned = std::mem::take(&mut self.members[at].on_its_way);
        let verdicts = Verdicts {
            returned: returned.iter().map(|offered| offered.id).collect(),
            ..Verdicts::default()
        };
        let mut member = self.members.swap_remove(at);
        if !returned.is_empty() {
            // What was settled behind one of these is not in the progress.
            self.lives[member.life].may_repeat = self.settings.share + LARGEST;
        }
        member.process.replay.hear(verdicts);
        let statistics = Arc::clone(&member.process.statistics);
        member.process.end();
        self.discarded += discarded(&statistics);
        self.begin();
    }

    /// A file of somebody who may live.
    fn leave(&mut self, is_held: bool) {
        let owner = Uuid::new_v4();
        let path = self
            .directory
            .path()
            .join(names::segment(owner, (owner, 1)));
        let mut file = File::options()
            .append(true)
            .create_new(true)
            .open(path)
            .unwrap();
        for is_held in [false, is_held] {
            let number = self.next_number();
            self.messages.get_mut(&number).unwrap().is_held = is_held;
            let more = if is_held { ",\"later\":1" } else { "" };
            file.write_all(line(number, more).as_bytes()).unwrap();
        }
        self.strangers.push((file, now()));
    }

    fn append_late(&mut self) {
        let number = self.messages.len() as u64;
        let late = self
            .strangers
            .iter_mut()
            .find(|(_, looked)| now().duration_since(*looked) < BLINK);
        if let Some((file, _)) = late {
            // With `discardOldest` it may go without being looked at once more.
            let is_gone = file.metadata().unwrap().nlink() == 0;
            if is_gone && self.settings.max_bytes.is_some() {
                return;
            }
            file.write_all(line(number, "").as_bytes()).unwrap();
            self.next_number();
        }
    }

    /// In the text of a message that nobody has in memory.
    fn flip(&mut self, pick: u16) {
        let mut files = self.paths(|kind| matches!(kind, FileKind::Segment { .. }));
        if files.is_empty() {
            return;
        }
        let path = files.swap_remove(usize::from(pick) % files.len());
        let mut bytes = fs::read(&path).unwrap();
        let on_their_way: BTreeSet<u64> = self
            .members
            .iter()
            .flat_map(|member| member.on_its_way.iter().map(|offered| offered.number))
            .collect();
        let mut start = 0;
        for line in bytes.clone().split_inclusive(|byte| *byte == b'\n') {
            let at = line.windows(4).position(|four| four == b"xxxx");
            if let (Some(number), Some(at)) = (number_in(line), at)
                && memchr::memmem::find(line, b"crc32c").is_some()
                && !on_their_way.contains(&number)
            {
                bytes[start + at] ^= 1;
                fs::write(&path, bytes).unwrap();
                // Progress that was kept for the file may not fit it any more.
                self.is_lax = true;
                return;
            }
            start += line.len();
        }
    }
}

fn discarded(statistics: &Statistics) -> u64 {
    let counts = statistics.counts();
    counts.discarded_total() - counts.discarded_for(Reason::FileRemoved)
}
