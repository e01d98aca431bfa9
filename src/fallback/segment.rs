//! A file that waits to be replayed: how much of it is left, and where it stands.

use std::fs::File;
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::directory::{Directory, status_of};
use super::instance::Sealed;
use super::ledger::{Checkpoint, Halted, Ledger};
use super::lines::{Content, Line, Lines, is_lost};
use super::names::{self, SegmentId};
use super::progress::Progress;
use super::record;
use super::rejects::{Reject, Rejects};
use crate::message::Topics;
use crate::options::Modes;

mod saved;

use saved::{fingerprint, load_progress};

/// A line longer than this is no message: Kafka takes 100 MiB at most, and JSON text in a string can
/// be twice as long.
pub const LONGEST_LINE: usize = 256 << 20;
/// The first line is not looked for further than this to know its time.
const LONGEST_FIRST: u64 = 1 << 20;
/// Tries at reading before it is believed that the disk can't.
const READ_TRIES: u32 = 3;

#[derive(Debug)]
pub struct Segment {
    pub name: String,
    pub id: SegmentId,
    /// Nobody else can be writing to it.
    pub is_certain: bool,
    /// Its size, as far as it is known. Somebody who lives after all may append to it.
    pub length: u64,
    /// Lines before this one are counted in `messages`.
    counted: u64,
    /// Messages that are not settled, counted as on disk.
    pub messages: u64,
    /// When its first message was queued, in milliseconds since the Unix epoch.
    pub oldest: i64,
    pub ledger: Ledger,
    /// There may be a progress file beside it.
    has_progress: bool,
    /// Its disk is in trouble: not before this.
    pub blocked_until: Option<Instant>,
    /// All of it is settled, since then, and it is waited for what may still come.
    pub done: Option<Instant>,
    /// Its last line lacks its end, which was waited for at this length.
    pub waited_at: u64,
    /// When it was last tried to copy what is left out of it.
    pub copied: Option<Instant>,
    failed_reads: u32,
    /// Parts of it could not be read.
    pub is_damaged: bool,
    fingerprint: Option<(u32, u64)>,
    /// Open while there is something in it that a power cut may take.
    rejects: Option<Rejects>,
    /// The last progress could not be written down, which was said.
    pub is_progress_stale: bool,
}

impl Segment {
    /// Opens a file and believes its progress file, if it has one and that fits. At most one line of
    /// what is left is counted.
    pub fn open(
        directory: &Directory,
        name: &str,
        id: SegmentId,
        has_progress: bool,
        topics: &Topics,
    ) -> io::Result<Self> {
        let file = directory.read(name)?;
        let status = status_of(&file)?;
        let checkpoint = if has_progress {
            load_progress(directory, name, &file, status.length, topics)?
        } else {
            Checkpoint::default()
        };
        let ledger = Ledger::new(checkpoint);
        let start = ledger.start(&Halted::new());
        let (mut counted, mut messages, mut oldest) = (start, 0, None);
        // What can't be read is met with again.
        if let Ok(mut lines) = Lines::open(file, 0, status.length.min(LONGEST_FIRST), LONGEST_LINE)
            && let Ok(Some(line)) = lines.next()
        {
            oldest = time_of(&line);
            if !has_progress && line.is_ended {
                (counted, messages) = (line.next, 1);
            }
        }
        Ok(Segment {
            name: name.to_owned(),
            id,
            is_certain: false,
            length: status.length,
            counted,
            messages,
            oldest: oldest.unwrap_or_else(|| milliseconds(status.modified)),
            ledger,
            has_progress,
            blocked_until: None,
            done: None,
            waited_at: 0,
            copied: None,
            failed_reads: 0,
            is_damaged: false,
            fingerprint: None,
            rejects: None,
            is_progress_stale: false,
        })
    }

    /// A file whose number of messages is known, and of which nothing is settled.
    pub fn of_own(sealed: &Sealed, id: SegmentId) -> Self {
        Segment {
            name: sealed.name.clone(),
            id,
            is_certain: true,
            length: sealed.bytes,
            counted: sealed.bytes,
            messages: sealed.messages,
            oldest: milliseconds(SystemTime::now()),
            ledger: Ledger::default(),
            has_progress: false,
            blocked_until: None,
            done: None,
            waited_at: 0,
            copied: None,
            failed_reads: 0,
            is_damaged: false,
            fingerprint: None,
            rejects: None,
            is_progress_stale: false,
        }
    }

    /// Looks at a file that was just sealed. Returns by how much it is longer than it should be: lines
    /// that could not be cut off again after a failed write.
    pub fn look_at(&mut self, directory: &Directory) -> io::Result<u64> {
        let file = directory.read(&self.name)?;
        let length = status_of(&file)?.length;
        if let Some(oldest) = find_oldest(file, length) {
            self.oldest = oldest;
        }
        Ok(self.grow_to(length))
    }

    /// Looks whether the file has grown. Returns by how much.
    pub fn grow(&mut self, directory: &Directory) -> io::Result<u64> {
        let length = directory.status(&self.name)?.length;
        Ok(self.grow_to(length))
    }

    fn grow_to(&mut self, length: u64) -> u64 {
        let more = length.saturating_sub(self.length);
        self.length += more;
        more
    }

    /// The lines from `offset` on, as far as they are counted.
    pub fn lines(&self, directory: &Directory, offset: u64) -> io::Result<Lines> {
        let file = directory.read(&self.name)?;
        let mut lines = Lines::open(file, offset, self.length, LONGEST_LINE)?;
        lines.stop_at(self.counted);
        if self.is_damaged {
            lines.skip_what_is_lost();
        }
        Ok(lines)
    }

    pub fn counted(&self) -> u64 {
        self.counted
    }

    pub fn is_counted(&self) -> bool {
        self.counted >= self.length
    }

    /// Counts the messages of the next lines, `most` bytes of them or one line. Returns how many are
    /// unsettled.
    pub fn count_on(
        &mut self,
        directory: &Directory,
        topics: &Topics,
        most: u64,
    ) -> io::Result<u64> {
        let file = directory.read(&self.name)?;
        let mut lines = Lines::open(file, self.counted, self.length, LONGEST_LINE)?;
        if self.is_damaged {
            lines.skip_what_is_lost();
        }
        let everything_after = self.ledger.checkpoint(&Halted::new()).base;
        let until = self.counted + most;
        let (mut count, mut to) = (0, self.length);
        while let Some(line) = lines.next()? {
            let is_left = line.offset >= everything_after
                || self.ledger.is_held(line.offset)
                || match line.content {
                    Content::NotKept | Content::Lost => self.ledger.is_unread(line.offset),
                    Content::Text(text) => match record::parse(text) {
                        Ok(message) => {
                            let topic = topics.intern_filed(&message.topic);
                            self.ledger.is_unsettled(line.offset, topic)
                        }
                        Err(_) => self.ledger.is_unread(line.offset),
                    },
                };
            count += u64::from(is_left);
            if line.next >= until {
                to = line.next;
                break;
            }
        }
        self.counted = to;
        self.messages += count;
        Ok(count)
    }

    /// Reading has failed. Returns whether it is time to go on without what can't be read.
    pub fn read_failed(&mut self, error: &io::Error) -> bool {
        if !is_lost(error) {
            return false;
        }
        self.failed_reads += 1;
        self.is_damaged |= self.failed_reads >= READ_TRIES;
        self.is_damaged
    }

    /// Bytes from the first line that may be unsettled to the end.
    pub fn bytes_left(&self) -> u64 {
        self.length
            .saturating_sub(self.ledger.start(&Halted::new()))
    }

    /// Keeps a line that can't be replayed in the file beside this one.
    pub fn reject(
        &mut self,
        directory: &Directory,
        reject: Reject,
        modes: Modes,
    ) -> io::Result<()> {
        let rejects = match &mut self.rejects {
            Some(rejects) => rejects,
            none => none.insert(Rejects::open(directory, &self.name, modes)?),
        };
        rejects.keep(reject)
    }

    /// What was rejected survives a power cut from here on.
    pub fn sync_rejects(&mut self, directory: &Directory) -> io::Result<()> {
        if let Some(rejects) = &mut self.rejects {
            rejects.sync(directory)?;
            self.rejects = None;
        }
        Ok(())
    }

    /// Writes down where the file stands.
    ///
    /// # Errors
    /// `NotFound`: the file itself is not there any more.
    pub fn save_progress(
        &mut self,
        directory: &Directory,
        halted: &Halted,
        topics: &Topics,
        modes: Modes,
        is_synced: bool,
    ) -> io::Result<()> {
        directory.status(&self.name)?;
        let checkpoint = self.ledger.checkpoint(halted);
        let (fingerprint, fingerprint_length) = match self.fingerprint {
            Some(known) => known,
            None => {
                let file = directory.read(&self.name)?;
                let known = match fingerprint(&file, self.length) {
                    Err(error) if is_lost(&error) => (crc32c::crc32c(&[]), 0),
                    known => known?,
                };
                *self.fingerprint.insert(known)
            }
        };
        let progress = Progress {
            base: checkpoint.base,
            floors: checkpoint
                .floors
                .iter()
                .map(|(topic, floor)| (topics.name(*topic).to_string(), *floor))
                .collect(),
            held: checkpoint.held.into_iter().collect(),
            fingerprint,
            fingerprint_length,
        };
        let name = names::progress(&self.name);
        self.has_progress = true;
        directory.replace(&name, &progress.encode(), modes.file, is_synced)
    }

    /// The file is gone: so is what told of it.
    pub fn remove_progress(&self, directory: &Directory) {
        if !self.has_progress {
            return;
        }
        // One that stays is removed by whoever finds it.
        let _ = directory.remove_if_there(&names::progress(&self.name));
    }
}

/// The first line's time, where it tells one.
fn find_oldest(file: File, length: u64) -> Option<i64> {
    let mut lines = Lines::open(file, 0, length.min(LONGEST_FIRST), LONGEST_LINE).ok()?;
    time_of(&lines.next().ok()??)
}

fn time_of(line: &Line<'_>) -> Option<i64> {
    match line.content {
        Content::Text(text) => record::parse(text).ok()?.queued_at(),
        Content::NotKept | Content::Lost => None,
    }
}

pub fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
