//! A file that waits to be replayed: how much of it is left, and where it stands.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::warn;
use uuid::Uuid;

use super::instance::Sealed;
use super::ledger::{Checkpoint, Halted, Ledger};
use super::lines::{Content, Lines};
use super::progress::{FINGERPRINT_LENGTH, Progress};
use super::rejects::Rejects;
use super::{names, record};
use crate::message::Topics;
use crate::options::Modes;

/// A line longer than this is no message: Kafka takes 100 MiB at most, and JSON text in a string can
/// be twice as long.
pub const LONGEST_LINE: usize = 256 << 20;

/// An instance and the number of a file of it.
pub type SegmentId = (Uuid, u32);

#[derive(Debug)]
pub struct Segment {
    pub path: PathBuf,
    pub instance: Uuid,
    pub sequence: u32,
    /// Its size, as far as it is counted. Another process of an earlier version may append to it.
    pub length: u64,
    /// Messages that are not settled, counted as on disk.
    pub messages: u64,
    /// When its first message was queued, in milliseconds since the Unix epoch.
    pub oldest: i64,
    pub ledger: Ledger,
    /// Its disk is in trouble: not before this.
    pub blocked_until: Option<Instant>,
    fingerprint: Option<(u32, u64)>,
    /// Open while there is something in it that a power cut may take.
    rejects: Option<Rejects>,
    /// The last progress could not be written down, which was said.
    pub is_progress_stale: bool,
}

impl Segment {
    /// Opens a file, believes its progress file if that fits, and counts what is left.
    pub fn open(path: PathBuf, instance: Uuid, sequence: u32, topics: &Topics) -> io::Result<Self> {
        let length = fs::metadata(&path)?.len();
        let checkpoint = load_progress(&path, length, topics)?;
        let mut segment = Segment {
            path,
            instance,
            sequence,
            length,
            messages: 0,
            oldest: 0,
            ledger: Ledger::new(checkpoint),
            blocked_until: None,
            fingerprint: None,
            rejects: None,
            is_progress_stale: false,
        };
        segment.date()?;
        let start = segment.ledger.start(&Halted::new());
        segment.messages = segment.count(start, topics)?;
        Ok(segment)
    }

    /// A file whose number of messages is known, and of which nothing is settled.
    pub fn of_own(sealed: &Sealed, instance: Uuid) -> Self {
        Segment {
            path: sealed.path.clone(),
            instance,
            sequence: sealed.sequence,
            length: sealed.bytes,
            messages: sealed.messages,
            oldest: milliseconds(SystemTime::now()),
            ledger: Ledger::default(),
            blocked_until: None,
            fingerprint: None,
            rejects: None,
            is_progress_stale: false,
        }
    }

    /// Reads when the first message was queued.
    pub fn date(&mut self) -> io::Result<()> {
        self.oldest = self.find_oldest()?;
        Ok(())
    }

    pub fn id(&self) -> SegmentId {
        (self.instance, self.sequence)
    }

    pub fn lines(&self, offset: u64) -> io::Result<Lines> {
        Lines::open(File::open(&self.path)?, offset, self.length, LONGEST_LINE)
    }

    /// If the file has grown since it was counted, counts the new lines. Returns their number and
    /// their size.
    pub fn grow(&mut self, topics: &Topics) -> io::Result<(u64, u64)> {
        let length = fs::metadata(&self.path)?.len();
        if length <= self.length {
            return Ok((0, 0));
        }
        let from = std::mem::replace(&mut self.length, length);
        // What could not be counted is not there yet.
        let more = self
            .count(from, topics)
            .inspect_err(|_| self.length = from)?;
        self.messages += more;
        Ok((more, length - from))
    }

    /// Unsettled messages from `offset` on.
    fn count(&self, offset: u64, topics: &Topics) -> io::Result<u64> {
        let mut lines = self.lines(offset)?;
        let everything_after = self.ledger.checkpoint(&Halted::new()).base;
        let mut count = 0;
        while let Some(line) = lines.next()? {
            let is_left = line.offset >= everything_after
                || match line.content {
                    Content::NotKept => false,
                    Content::Text(text) => record::parse(text).is_ok_and(|message| {
                        let topic = topics.intern(&message.topic);
                        self.ledger.is_unsettled(line.offset, topic)
                    }),
                };
            count += u64::from(is_left);
        }
        Ok(count)
    }

    /// The first line's time, or, where lines tell none, the file's.
    fn find_oldest(&self) -> io::Result<i64> {
        if let Some(line) = self.lines(0)?.next()?
            && let Content::Text(text) = line.content
            && let Ok(message) = record::parse(text)
            && let Some(timestamp) = message.timestamp
        {
            return Ok(timestamp);
        }
        let modified = fs::metadata(&self.path)?.modified()?;
        Ok(milliseconds(modified))
    }

    /// Bytes from the first line that may be unsettled to the end.
    pub fn bytes_left(&self) -> u64 {
        self.length
            .saturating_sub(self.ledger.start(&Halted::new()))
    }

    /// Keeps a line that can't be replayed in the file beside this one.
    pub fn reject(&mut self, offset: u64, next: u64, modes: Modes) -> io::Result<()> {
        let rejects = match &mut self.rejects {
            Some(rejects) => rejects,
            none => none.insert(Rejects::open(&self.path, modes)?),
        };
        rejects.keep(offset, next)
    }

    /// What was rejected survives a power cut from here on.
    pub fn sync_rejects(&mut self) -> io::Result<()> {
        if let Some(rejects) = &mut self.rejects {
            rejects.sync()?;
            self.rejects = None;
        }
        Ok(())
    }

    /// Writes down where the file stands.
    pub fn save_progress(
        &mut self,
        halted: &Halted,
        topics: &Topics,
        modes: Modes,
    ) -> io::Result<()> {
        let checkpoint = self.ledger.checkpoint(halted);
        let (fingerprint, fingerprint_length) = match self.fingerprint {
            Some(known) => known,
            None => *self
                .fingerprint
                .insert(fingerprint(&self.path, self.length)?),
        };
        let progress = Progress {
            base: checkpoint.base,
            floors: checkpoint
                .floors
                .iter()
                .map(|(topic, floor)| (topics.name(*topic).to_string(), *floor))
                .collect(),
            fingerprint,
            fingerprint_length,
        };
        let path = names::progress(&self.path);
        let making = names::with_suffix(&path, ".new");
        write_new(&making, &progress.encode(), modes)
            .and_then(|()| fs::rename(&making, &path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&making);
            })
    }

    /// The file is gone: so is what told of it.
    pub fn remove_progress(&self) {
        let path = names::progress(&self.path);
        for path in [names::with_suffix(&path, ".new"), path] {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_new(path: &Path, bytes: &[u8], modes: Modes) -> io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, modes.file);
    #[cfg(not(unix))]
    let _ = modes;
    options.open(path)?.write_all(bytes)
}

/// What a progress file that fits its file says; else the beginning.
fn load_progress(path: &Path, length: u64, topics: &Topics) -> io::Result<Checkpoint> {
    let bytes = match fs::read(names::progress(path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
        Err(error) => return Err(error),
    };
    let why = match Progress::decode(&bytes) {
        None => "it is damaged",
        Some(progress) if progress.offsets().any(|offset| offset > length) => {
            "it points past the file's end"
        }
        Some(progress) if !fits(path, &progress)? => "it is another file's",
        Some(progress) => {
            let floors = progress.floors.iter();
            return Ok(Checkpoint {
                base: progress.base,
                floors: floors
                    .map(|(topic, floor)| (topics.intern(topic), *floor))
                    .collect(),
            });
        }
    };
    warn!(path = %path.display(), "the progress file is not believed ({why}); the file is replayed from its beginning");
    Ok(Checkpoint::default())
}

fn fits(path: &Path, progress: &Progress) -> io::Result<bool> {
    let (crc, length) = fingerprint(path, progress.fingerprint_length)?;
    if (crc, length) != (progress.fingerprint, progress.fingerprint_length) {
        return Ok(false);
    }
    for offset in progress.offsets() {
        if !is_line_start(path, offset)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Or the end of a last line that has no newline.
fn is_line_start(path: &Path, offset: u64) -> io::Result<bool> {
    use std::io::{Seek, SeekFrom};
    if offset == 0 {
        return Ok(true);
    }
    let mut file = File::open(path)?;
    if offset == file.metadata()?.len() {
        return Ok(true);
    }
    file.seek(SeekFrom::Start(offset - 1))?;
    let mut before = [0];
    file.read_exact(&mut before)?;
    Ok(before == *b"\n")
}

fn fingerprint(path: &Path, length: u64) -> io::Result<(u32, u64)> {
    let mut beginning = Vec::new();
    File::open(path)?
        .take(length.min(FINGERPRINT_LENGTH))
        .read_to_end(&mut beginning)?;
    Ok((crc32fast::hash(&beginning), beginning.len() as u64))
}

pub fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"{\"topic\":\"t\",\"key\":1,\"value\":{}}\n";

    #[test]
    fn growth_that_could_not_be_counted_is_not_forgotten() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("fallback.log");
        fs::write(&path, LINE).unwrap();
        let topics = Topics::default();
        let mut segment = Segment::open(path.clone(), Uuid::new_v4(), 1, &topics).unwrap();
        // It has a size, and can't be read.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(segment.grow(&topics).is_err());
        fs::remove_dir(&path).unwrap();
        fs::write(&path, LINE.repeat(3)).unwrap();
        let bytes = 2 * LINE.len() as u64;
        assert_eq!(segment.grow(&topics).unwrap(), (2, bytes));
        assert_eq!(segment.messages, 3);
    }
}
