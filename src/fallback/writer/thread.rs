//! What the writer's thread does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::super::cap::Cap;
use super::super::clock::now;
use super::super::directory::Presence;
use super::super::file::CurrentFile;
use super::super::instance::Instance;
use super::super::lease::BEAT;
use super::super::text::{Line, Text};
use super::refused::keep_refused;
use super::{Job, WriterParts};
use crate::fates::{Fate, Fates};
use crate::inbox::Inbox;
use crate::message::{Batch, KeyEncoding, Reason, Topics};
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
/// How often what could not be synced when its file was to be sealed is written to another one.
const SEAL_TRIES: u32 = 3;

mod room;
mod sealing;

pub struct WriterThread {
    instance: Arc<Instance>,
    current: Option<CurrentFile>,
    cap: Cap,
    /// There was nothing to discard for new messages.
    full_until: Option<Instant>,
    /// The last lines were discarded after all retries; the next get one try, until one succeeds.
    gave_up: bool,
    closing: Arc<AtomicBool>,
    last_sync: Instant,
    last_beat: Instant,
    text: Text,
    config: FallbackConfig,
    encoding: KeyEncoding,
    topics: Arc<Topics>,
    inbox: Arc<Inbox>,
    statistics: Arc<Statistics>,
    fates: Arc<Fates>,
}

impl WriterThread {
    pub fn new(parts: WriterParts, closing: Arc<AtomicBool>) -> Self {
        WriterThread {
            current: None,
            cap: Cap::new(parts.config.directory.clone(), parts.config.max_bytes),
            full_until: None,
            gave_up: false,
            closing,
            last_sync: now(),
            last_beat: now(),
            text: Text::default(),
            config: parts.config,
            encoding: parts.encoding,
            instance: parts.instance,
            topics: parts.topics,
            inbox: parts.inbox,
            statistics: parts.statistics,
            fates: parts.fates,
        }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = self.until_sync().min(self.until_beat());
            match jobs.recv_timeout(wait) {
                Ok(Job::Append(batch)) => self.append(batch),
                Ok(Job::KeepRefused(batch, reason, why)) => self.keep_refused(batch, reason, &why),
                Ok(Job::Seal(then)) => {
                    self.seal();
                    then();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.until_sync().is_zero() {
                self.sync();
            }
            self.beat();
        }
        self.seal();
        self.inbox.wake();
    }

    fn until_sync(&self) -> Duration {
        let unsynced = self.current.as_ref().is_some_and(|file| !file.is_synced());
        match self.config.fsync {
            Fsync::Interval if unsynced => {
                SYNC_INTERVAL.saturating_sub(now().duration_since(self.last_sync))
            }
            _ => Duration::from_secs(3600),
        }
    }

    fn until_beat(&self) -> Duration {
        BEAT.saturating_sub(now().duration_since(self.last_beat))
    }

    /// A sign of life for others, and a look whether they have believed it.
    pub fn beat(&mut self) {
        if self.until_beat().is_zero() {
            self.last_beat = now();
            self.instance.beat();
            self.check_in_place();
        }
    }

    pub fn append(&mut self, mut batch: Batch) {
        if !self.config.enabled {
            let messages = batch.remaining_messages();
            let lines: Vec<Line> = messages
                .map(|(record, content)| Line::unwritten(record, content))
                .collect();
            self.discard(&lines, Reason::FallbackOff);
            batch.clear();
        }
        while !batch.is_empty() {
            let mut text = std::mem::take(&mut self.text);
            let mut too_much = Vec::new();
            let room = self.room();
            while let Some((record, content)) = batch.peek() {
                let topic = self.topics.name(record.topic);
                let whole = text.bytes().len();
                text.push(&topic, record, self.encoding, content);
                let length = text.bytes().len() as u64;
                // A write goes to one file as a whole.
                if whole > 0 && length > self.config.segment_bytes {
                    text.pop();
                    break;
                }
                if length > room {
                    let line = text.pop();
                    if self.make_room(&mut text) {
                        break;
                    }
                    batch.advance();
                    too_much.extend(line);
                    continue;
                }
                batch.advance();
                if text.bytes().len() >= WRITE_SIZE {
                    break;
                }
            }
            self.write(&mut text);
            self.discard(&too_much, Reason::FallbackFull);
            text.clear();
            text.shrink_to(2 * WRITE_SIZE);
            self.text = text;
        }
        self.inbox.recycle(batch);
        // Somebody may be waiting for memory, or for the end of the event loop.
        self.inbox.wake();
    }

    /// Writes lines with all retries. What fits of them is kept, however little; what can't be written
    /// is logged, counted and discarded.
    fn write(&mut self, text: &mut Text) {
        let mut attempt = 0;
        while !text.is_empty() {
            let (written, error) = self.try_write(text);
            for waiter in text.waiters(written) {
                self.fates.tell(waiter, || Fate::Filed);
            }
            let amount = text.split_off(written);
            self.statistics.transfer(Place::Writer, Place::Disk, amount);
            self.gauge();
            let Err(error) = error else {
                if self.gave_up {
                    info!(directory = %self.config.directory.display(), "the fallback file can be written again");
                }
                self.gave_up = false;
                continue;
            };
            if !self.may_try_again(&error, attempt) {
                self.gave_up = true;
                self.discard(text.lines(), Reason::FallbackFailed);
                text.clear();
            }
            attempt += 1;
        }
    }

    /// Waits as `fallback.retryOptions` say. Returns false if there were enough tries.
    fn may_try_again(&mut self, error: &str, attempt: u32) -> bool {
        self.statistics.file_error(error.to_owned());
        let mut retries = self.config.retry.retries.unwrap_or(u32::MAX);
        if self.gave_up {
            retries = 0;
        } else if self.closing.load(Ordering::Relaxed) {
            retries = retries.min(CLOSING_RETRIES);
        }
        if attempt >= retries {
            return false;
        }
        warn!(%error, attempt = attempt + 1, "the fallback file could not be written; trying again");
        self.pause(self.config.retry.delay(attempt));
        true
    }

    /// Sleeps, but not for long once the publisher is ending.
    fn pause(&mut self, delay: Duration) {
        let start = now();
        loop {
            let closing = self.closing.load(Ordering::Relaxed);
            let delay = if closing {
                delay.min(CLOSING_PAUSE)
            } else {
                delay
            };
            let Some(left) = delay
                .checked_sub(now().duration_since(start))
                .filter(|left| !left.is_zero())
            else {
                return;
            };
            // `Writer::close` unparks.
            thread::park_timeout(left.min(BEAT));
            self.beat();
        }
    }

    /// Returns how many bytes of whole lines are in the file now, also with an error.
    fn try_write(&mut self, text: &Text) -> (usize, Result<(), String>) {
        self.check_in_place();
        let length = text.bytes().len() as u64;
        if self.current.as_ref().is_some_and(|file| {
            file.length() + length > self.config.segment_bytes && file.length() > 0
        }) {
            self.seal();
        }
        if self.current.is_none()
            && let Err(error) = self.begin_file()
        {
            return (0, Err(error));
        }
        let Some(file) = &mut self.current else {
            return (0, Err("no file".into()));
        };
        let path = file.path().display().to_string();
        let before = file.length();
        let appended = file.append(text);
        let mut written = appended
            .as_ref()
            .map_or_else(|e| e.written, |()| text.bytes().len());
        let mut result = Ok(());
        let mut must_seal = false;
        if let Err(error) = &appended {
            // Lines may still fit elsewhere, and a torn one must stay the last of its file.
            must_seal = before > 0 || written > 0 || error.torn.is_some();
            result = Err(format!("cannot write {path}: {error}"));
        }
        // A line is written when it is on the disk.
        if self.config.fsync == Fsync::Always
            && written > 0
            && let Err(error) = file.sync()
        {
            file.take_back();
            (written, must_seal) = (0, true);
            result = Err(Self::sync_failed(&path, &error));
        }
        self.cap.written(written as u64);
        if must_seal {
            self.seal_unsynced();
        }
        (written, result)
    }

    fn begin_file(&mut self) -> Result<(), String> {
        let (directory, name, sequence) = self
            .instance
            .next_file()
            .map_err(|error| cannot("use", &self.config.directory, &error))?;
        let path = directory.path_of(&name);
        let (mode, fsync) = (self.config.modes.file, self.config.fsync);
        let file = CurrentFile::create(&directory, name, sequence, mode, fsync)
            .map_err(|error| cannot("create", &path, &error))?;
        debug!(path = %path.display(), "fallback file begun");
        self.instance.created();
        self.current = Some(file);
        Ok(())
    }

    /// A file that another instance has taken over is that one's, with its messages. One that somebody
    /// removed takes them with it: they are counted as discarded. What can't be looked at has a name
    /// somewhere, and is gone on with.
    fn check_in_place(&mut self) {
        let presence = self.current.as_ref().map(CurrentFile::presence);
        let is_removed = match presence {
            Some(Ok(Presence::Elsewhere)) => false,
            Some(Ok(Presence::Removed)) => true,
            Some(Ok(Presence::Here) | Err(_)) | None => return,
        };
        let Some(file) = self.current.take() else {
            return;
        };
        self.instance.removed();
        self.gauge();
        let (path, amount) = (file.path().display(), file.amount());
        let id = (self.instance.uuid, file.sequence());
        if is_removed && !self.instance.was_taken_over(id) {
            self.statistics.file_error(format!("{path} was removed"));
            self.discard_from(Place::Disk, amount, Reason::FileRemoved);
        } else {
            warn!(%path, messages = amount.messages, "the fallback file is another process's now, or its disk was taken away: its messages are handed over");
            self.statistics
                .transfer(Place::Disk, Place::HandedOver, amount);
        }
    }

    fn gauge(&self) {
        let current = self.current.as_ref();
        self.statistics.set_current(FileGauges {
            files: u64::from(current.is_some()),
            bytes: current.map_or(0, CurrentFile::length),
        });
    }

    /// `fallback.keepRefused`.
    fn keep_refused(&mut self, batch: Batch, reason: Reason, why: &str) {
        let amount = batch.remaining();
        for (record, _) in batch.remaining_messages() {
            let fate = || Fate::Discarded(reason, why.to_owned());
            self.fates.tell(record.waiter, fate);
        }
        if !self.config.enabled {
            self.discard_from(Place::Writer, amount, reason);
            self.inbox.recycle(batch);
            return self.inbox.wake();
        }
        let (topics, encoding) = (&self.topics, self.encoding);
        match keep_refused(&self.instance, &batch, topics, encoding, why) {
            Ok(()) => {
                error!(
                    messages = amount.messages,
                    "messages are kept in a .rejected file: {why}"
                );
                self.statistics
                    .errors(format!("refused: {why}"), amount.messages);
                self.statistics
                    .transfer(Place::Writer, Place::Rejected, amount);
            }
            Err(error) => {
                warn!(%error, "what Kafka has refused cannot be kept");
                self.statistics.file_error(error.to_string());
                self.discard_from(Place::Writer, amount, reason);
            }
        }
        self.inbox.recycle(batch);
        self.inbox.wake();
    }
}

fn cannot(what: &str, path: &std::path::Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
