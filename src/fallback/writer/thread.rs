//! What the writer's thread does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::super::cap::Cap;
use super::super::file::{AppendError, CurrentFile};
use super::super::instance::{Instance, Sealed};
use super::super::lease::IDLE_WITHOUT_LOCKS;
use super::super::record;
use super::{Job, WriterParts};
use crate::inbox::Inbox;
use crate::message::{Amount, Batch, KeyEncoding, Reason, Topics};
use crate::options::{FallbackConfig, Fsync};
use crate::statistics::{FileGauges, Place, Statistics};

/// Most bytes of lines that are gathered for one `write`.
const WRITE_SIZE: usize = 1024 * 1024;
/// Retries for a publisher that is ending, whatever `fallback.retryOptions` say.
const CLOSING_RETRIES: u32 = 5;
/// Longest time between those.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// Between two syncs of `fallback.fsync: 'interval'`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

pub struct WriterThread {
    instance: Arc<Instance>,
    current: Option<CurrentFile>,
    cap: Cap,
    /// The last lines were discarded after all retries; the next get one try, until one succeeds.
    gave_up: bool,
    closing: Arc<AtomicBool>,
    last_sync: Instant,
    last_append: Instant,
    lines: Vec<u8>,
    config: FallbackConfig,
    encoding: KeyEncoding,
    topics: Arc<Topics>,
    inbox: Arc<Inbox>,
    statistics: Arc<Statistics>,
}

impl WriterThread {
    pub fn new(parts: WriterParts, closing: Arc<AtomicBool>) -> Self {
        WriterThread {
            current: None,
            cap: Cap::new(parts.config.directory.clone(), parts.config.max_bytes),
            gave_up: false,
            closing,
            last_sync: Instant::now(),
            last_append: Instant::now(),
            lines: Vec::new(),
            config: parts.config,
            encoding: parts.encoding,
            instance: parts.instance,
            topics: parts.topics,
            inbox: parts.inbox,
            statistics: parts.statistics,
        }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = self.until_sync().min(self.until_idle());
            let job = match jobs.recv_timeout(wait) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    if self.until_sync().is_zero() {
                        self.sync();
                    }
                    if self.until_idle().is_zero() {
                        self.seal();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => Job::Close,
            };
            match job {
                Job::Append(batch) => self.append(batch),
                Job::Seal(then) => {
                    self.seal();
                    then();
                }
                Job::Close => break,
            }
            if self.until_sync().is_zero() {
                self.sync();
            }
        }
        self.seal();
        self.inbox.wake();
    }

    fn until_sync(&self) -> Duration {
        let unsynced = self.current.as_ref().is_some_and(|file| !file.is_synced());
        match self.config.fsync {
            Fsync::Interval if unsynced => SYNC_INTERVAL.saturating_sub(self.last_sync.elapsed()),
            _ => Duration::from_secs(3600),
        }
    }

    /// Until a file that no lock protects must be sealed.
    fn until_idle(&self) -> Duration {
        if self.current.is_none() || self.instance.is_locked() {
            return Duration::from_secs(3600);
        }
        IDLE_WITHOUT_LOCKS.saturating_sub(self.last_append.elapsed())
    }

    pub fn append(&mut self, mut batch: Batch) {
        self.last_append = Instant::now();
        while !batch.is_empty() {
            let mut lines = std::mem::take(&mut self.lines);
            let (mut amount, mut too_much) = (Amount::default(), Amount::default());
            let room = self.cap.room();
            while let Some((record, key, value)) = batch.peek() {
                let (topic, whole) = (self.topics.name(record.topic), lines.len());
                record::append(&mut lines, &topic, record, self.encoding, key, value);
                let size = Amount::of_one(key.len() + value.len());
                // A write goes to one file as a whole.
                if whole > 0 && lines.len() as u64 > self.config.segment_bytes {
                    lines.truncate(whole);
                    break;
                }
                batch.advance();
                if lines.len() as u64 > room {
                    lines.truncate(whole);
                    too_much.add(size);
                    continue;
                }
                amount.add(size);
                if lines.len() >= WRITE_SIZE {
                    break;
                }
            }
            if !amount.is_zero() {
                self.write(&lines, amount);
            }
            self.discard(too_much, Reason::FallbackFull);
            lines.clear();
            lines.shrink_to(2 * WRITE_SIZE);
            self.lines = lines;
        }
        self.inbox.recycle(batch);
        // Somebody may be waiting for memory, or for the end of the event loop.
        self.inbox.wake();
    }

    /// Writes lines with all retries; what can't be written is logged, counted and discarded.
    fn write(&mut self, lines: &[u8], amount: Amount) {
        let retries = if self.gave_up {
            0
        } else {
            self.config.retry.retries.unwrap_or(u32::MAX)
        };
        let mut attempt = 0;
        loop {
            let Err(error) = self.try_write(lines, amount) else {
                if self.gave_up {
                    info!(directory = %self.config.directory.display(), "the fallback file can be written again");
                }
                self.gave_up = false;
                self.statistics.transfer(Place::Writer, Place::Disk, amount);
                self.gauge();
                return;
            };
            self.statistics.file_error(error.clone());
            let retries = if self.closing.load(Ordering::Relaxed) {
                retries.min(CLOSING_RETRIES)
            } else {
                retries
            };
            if attempt >= retries {
                break;
            }
            warn!(%error, attempt = attempt + 1, messages = amount.messages, "the fallback file could not be written; trying again");
            self.pause(self.config.retry.delay(attempt));
            attempt += 1;
        }
        self.gave_up = true;
        self.discard(amount, Reason::FallbackFailed);
    }

    fn discard(&self, amount: Amount, reason: Reason) {
        if amount.is_zero() {
            return;
        }
        let why = reason.sentence();
        error!(messages = amount.messages, directory = %self.config.directory.display(), "messages discarded: {why}");
        self.statistics
            .errors(format!("discarded: {why}"), amount.messages);
        self.statistics
            .transfer(Place::Writer, Place::Discarded(reason), amount);
    }

    /// Sleeps, but not for long once the publisher is ending.
    fn pause(&self, delay: Duration) {
        let start = Instant::now();
        loop {
            let closing = self.closing.load(Ordering::Relaxed);
            let delay = if closing {
                delay.min(CLOSING_PAUSE)
            } else {
                delay
            };
            let Some(left) = delay
                .checked_sub(start.elapsed())
                .filter(|left| !left.is_zero())
            else {
                return;
            };
            // `Writer::close` unparks.
            thread::park_timeout(left);
        }
    }

    fn try_write(&mut self, lines: &[u8], amount: Amount) -> Result<(), String> {
        self.check_in_place();
        if self.current.as_ref().is_some_and(|file| {
            file.length() + lines.len() as u64 > self.config.segment_bytes && file.length() > 0
        }) {
            self.seal();
        }
        let file = match &mut self.current {
            Some(file) => file,
            none => {
                let (path, sequence) = self
                    .instance
                    .next_file()
                    .map_err(|error| cannot("use", &self.config.directory, &error))?;
                let file = CurrentFile::create(path.clone(), sequence, self.config.modes.file)
                    .map_err(|error| cannot("create", &path, &error))?;
                debug!(path = %path.display(), "fallback file begun");
                self.instance.created();
                none.insert(file)
            }
        };
        let (path, length) = (file.path().display().to_string(), file.length());
        match file.append(lines, amount) {
            Ok(()) => self.cap.written(lines.len() as u64),
            Err(error) => {
                // Lines may still fit elsewhere, and a torn one must stay the last of its file.
                if length > 0 || matches!(error, AppendError::Torn { .. }) {
                    self.seal_unsynced();
                }
                return Err(format!("cannot write {path}: {error}"));
            }
        }
        if self.config.fsync == Fsync::Always {
            self.sync();
        }
        Ok(())
    }

    /// A file that somebody removed takes its messages with it: they are counted as discarded.
    fn check_in_place(&mut self) {
        if self.current.as_ref().is_none_or(CurrentFile::is_in_place) {
            return;
        }
        if let Some(file) = self.current.take() {
            self.instance.removed();
            self.gauge();
            let amount = file.amount();
            if amount.is_zero() {
                return;
            }
            error!(path = %file.path().display(), messages = amount.messages, "the fallback file was removed; its messages are lost");
            self.statistics
                .file_error(format!("{} was removed", file.path().display()));
            self.statistics
                .transfer(Place::Disk, Place::Discarded(Reason::FileRemoved), amount);
        }
    }

    fn sync(&mut self) {
        self.last_sync = Instant::now();
        let Some(file) = &mut self.current else {
            return;
        };
        if file.is_synced() {
            return;
        }
        if let Err(error) = file.sync() {
            error!(path = %file.path().display(), %error, "the fallback file could not be synced; going on in a new one");
            self.statistics
                .file_error(format!("cannot sync {}: {error}", file.path().display()));
            self.seal_unsynced();
        }
    }

    pub fn seal(&mut self) {
        if self.config.fsync != Fsync::Never {
            self.sync();
        }
        self.seal_unsynced();
    }

    fn seal_unsynced(&mut self) {
        let Some(file) = self.current.take() else {
            return;
        };
        debug!(path = %file.path().display(), messages = file.amount().messages, "fallback file sealed");
        let sealed = Sealed {
            path: file.path().to_owned(),
            sequence: file.sequence(),
            bytes: file.length(),
            messages: file.amount().messages,
        };
        if file.remove_if_empty() {
            self.instance.removed();
        } else {
            self.instance.seal(sealed);
        }
        self.gauge();
    }

    fn gauge(&self) {
        let current = self.current.as_ref();
        self.statistics.set_current(FileGauges {
            files: u64::from(current.is_some()),
            bytes: current.map_or(0, CurrentFile::length),
        });
    }
}

fn cannot(what: &str, path: &std::path::Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
