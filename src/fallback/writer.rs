//! The one thread that writes fallback files. A disk that hangs hangs this thread and nothing else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::file::{AppendError, CurrentFile, Modes};
use super::record;
use crate::inbox::Inbox;
use crate::message::{Amount, Batch, Reason, Topics};
use crate::options::{FallbackConfig, Fsync, KeyEncoding};
use crate::statistics::{FileGauges, Place, Statistics};

/// Most bytes of lines that are gathered for one `write`.
const WRITE_SIZE: usize = 1024 * 1024;
/// Retries for a publisher that is ending, whatever `fallback.retryOptions` say.
const CLOSING_RETRIES: u32 = 5;
/// Longest time between those.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// Between two syncs of `fallback.fsync: 'interval'`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

enum Job {
    /// Write these, counted as [`Place::Writer`] already.
    Append(Batch),
    /// End the current file.
    Seal,
    /// Write what is waiting, end the current file and the thread.
    Close,
}

/// The worker's end of the writer thread.
pub struct Writer {
    jobs: Sender<Job>,
    /// Once set, nothing is tried again for ever.
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    statistics: Arc<Statistics>,
}

impl Writer {
    pub fn start(
        config: FallbackConfig,
        encoding: KeyEncoding,
        topics: Arc<Topics>,
        inbox: Arc<Inbox>,
        statistics: Arc<Statistics>,
        log: tracing::Dispatch,
    ) -> io::Result<Self> {
        let (jobs, receiver) = channel();
        let counts = Arc::clone(&statistics);
        let closing = Arc::new(AtomicBool::new(false));
        let closes = Arc::clone(&closing);
        let thread = thread::Builder::new()
            .name("kafka-fallback".into())
            .spawn(move || {
                let _log = tracing::dispatcher::set_default(&log);
                WriterThread {
                    instance: uuid::Uuid::new_v4(),
                    sequence: 0,
                    current: None,
                    sealed: FileGauges::default(),
                    gave_up: false,
                    closing: closes,
                    last_sync: Instant::now(),
                    lines: Vec::new(),
                    config,
                    encoding,
                    topics,
                    inbox,
                    statistics: counts,
                }
                .run(&receiver);
            })?;
        Ok(Writer {
            jobs,
            closing,
            thread: Some(thread),
            statistics,
        })
    }

    /// Hands over messages that are now at `from`.
    pub fn append(&self, batch: Batch, from: Place) {
        let amount = batch.remaining();
        if amount.is_zero() {
            return;
        }
        self.statistics.transfer(from, Place::Writer, amount);
        if self.jobs.send(Job::Append(batch)).is_err() {
            error!(
                messages = amount.messages,
                "the fallback writer has died; messages discarded"
            );
            self.statistics.transfer(
                Place::Writer,
                Place::Discarded(Reason::FallbackFailed),
                amount,
            );
        }
    }

    /// Ends the current file, after what was handed over before.
    pub fn seal(&self) {
        // A writer that has died has said so in `append`, and has no file open.
        let _ = self.jobs.send(Job::Seal);
    }

    /// Asks the thread to write what it has and to end; [`Writer::has_ended`] tells when.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        let _ = self.jobs.send(Job::Close);
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread's end, after [`Writer::close`].
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the fallback writer panicked");
        }
    }
}

struct WriterThread {
    instance: uuid::Uuid,
    sequence: u32,
    current: Option<CurrentFile>,
    sealed: FileGauges,
    /// The last lines were discarded after all retries; the next get one try, until one succeeds.
    gave_up: bool,
    closing: Arc<AtomicBool>,
    last_sync: Instant,
    lines: Vec<u8>,
    config: FallbackConfig,
    encoding: KeyEncoding,
    topics: Arc<Topics>,
    inbox: Arc<Inbox>,
    statistics: Arc<Statistics>,
}

impl WriterThread {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = match jobs.recv_timeout(self.until_sync()) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => Job::Close,
            };
            match job {
                Job::Append(batch) => self.append(batch),
                Job::Seal => self.seal(),
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

    fn append(&mut self, mut batch: Batch) {
        while !batch.is_empty() {
            let mut lines = std::mem::take(&mut self.lines);
            let mut amount = Amount::default();
            while let Some((record, key, value)) = batch.peek() {
                let topic = self.topics.name(record.topic);
                record::append(&mut lines, &topic, record, self.encoding, key, value);
                amount.add(Amount::of_one(key.len() + value.len()));
                batch.advance();
                if lines.len() >= WRITE_SIZE {
                    break;
                }
            }
            self.write(&lines, amount);
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
        error!(messages = amount.messages, directory = %self.config.directory.display(), "messages discarded: the fallback file could not be written");
        self.statistics.errors(
            format!("discarded: {}", Reason::FallbackFailed.sentence()),
            amount.messages,
        );
        self.statistics.transfer(
            Place::Writer,
            Place::Discarded(Reason::FallbackFailed),
            amount,
        );
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
                let path = next_path(&self.config.directory, self.instance, &mut self.sequence);
                let modes = Modes {
                    directory: self.config.directory_mode,
                    file: self.config.file_mode,
                };
                let file = CurrentFile::create(path.clone(), modes)
                    .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
                debug!(path = %path.display(), "fallback file begun");
                none.insert(file)
            }
        };
        let (path, length) = (file.path().display().to_string(), file.length());
        match file.append(lines, amount) {
            Ok(()) => {}
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
            let amount = file.amount();
            if amount.is_zero() {
                return;
            }
            error!(path = %file.path().display(), messages = amount.messages, "the fallback file was removed; its messages are lost");
            self.statistics
                .file_error(format!("{} was removed", file.path().display()));
            self.statistics
                .transfer(Place::Disk, Place::Discarded(Reason::FileRemoved), amount);
            self.gauge();
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

    fn seal(&mut self) {
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
        let length = file.length();
        if !file.remove_if_empty() {
            self.sealed.files += 1;
            self.sealed.bytes += length;
        }
        self.gauge();
    }

    fn gauge(&self) {
        let current = self.current.as_ref();
        self.statistics.set_files(FileGauges {
            files: self.sealed.files + u64::from(current.is_some()),
            bytes: self.sealed.bytes + current.map_or(0, CurrentFile::length),
        });
    }
}

fn next_path(directory: &std::path::Path, instance: uuid::Uuid, sequence: &mut u32) -> PathBuf {
    *sequence += 1;
    directory.join(format!("fallback-{instance}-{sequence:06}.log"))
}
