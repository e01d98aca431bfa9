//! The one thread that writes fallback files. A disk that hangs hangs this thread and nothing else.

mod refused;
mod thread;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SendError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tracing::error;

#[cfg(test)]
pub use self::thread::WriterThread;
#[cfg(not(test))]
use self::thread::WriterThread;
use super::instance::Instance;
use crate::fates::{Fate, Fates};
use crate::inbox::Inbox;
use crate::message::{Batch, KeyEncoding, Reason, Topics};
use crate::options::FallbackConfig;
use crate::statistics::{Place, Statistics};

/// Called on the writer's thread when the current file has been sealed.
type Sealer = Box<dyn FnOnce() + Send>;

enum Job {
    /// Write these, counted as [`Place::Writer`] already.
    Append(Batch),
    /// Keep these in a `.rejected` file; if that can't be, they are discarded with this reason.
    KeepRefused(Batch, Reason, String),
    /// End the current file, then tell.
    Seal(Sealer),
    /// Write what is waiting, end the current file and the thread.
    Close,
}

/// What a writer is started with.
pub struct WriterParts {
    pub config: FallbackConfig,
    pub encoding: KeyEncoding,
    pub instance: Arc<Instance>,
    pub topics: Arc<Topics>,
    pub inbox: Arc<Inbox>,
    pub statistics: Arc<Statistics>,
    pub fates: Arc<Fates>,
}

/// The worker's end of the writer thread.
pub struct Writer {
    jobs: Sender<Job>,
    /// Once set, nothing is tried again for ever.
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    statistics: Arc<Statistics>,
    fates: Arc<Fates>,
    /// Since when the current file has had something in it.
    unsealed: Cell<Option<Instant>>,
}

impl Writer {
    pub fn start(parts: WriterParts, log: tracing::Dispatch) -> io::Result<Self> {
        let (jobs, receiver) = channel();
        let statistics = Arc::clone(&parts.statistics);
        let fates = Arc::clone(&parts.fates);
        let closing = Arc::new(AtomicBool::new(false));
        let closes = Arc::clone(&closing);
        let thread = std::thread::Builder::new()
            .name("kafka-fallback".into())
            .spawn(move || {
                let _log = tracing::dispatcher::set_default(&log);
                WriterThread::new(parts, closes).run(&receiver);
            })?;
        Ok(Writer {
            jobs,
            closing,
            thread: Some(thread),
            statistics,
            fates,
            unsealed: Cell::new(None),
        })
    }

    /// Hands over messages that are now at `from`.
    pub fn append(&self, batch: Batch, from: Place) {
        let amount = batch.remaining();
        if amount.is_zero() {
            return;
        }
        self.statistics.transfer(from, Place::Writer, amount);
        self.unsealed
            .set(self.unsealed.get().or_else(|| Some(Instant::now())));
        if let Err(SendError(Job::Append(batch))) = self.jobs.send(Job::Append(batch)) {
            self.tell_lost(&batch, Reason::FallbackFailed);
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

    /// `fallback.keepRefused`: messages at `from` that Kafka will never take are kept, with the reason
    /// why. If that can't be they are discarded, and counted under `reason`.
    pub fn keep_refused(&self, batch: Batch, from: Place, reason: Reason, why: String) {
        let amount = batch.remaining();
        self.statistics.transfer(from, Place::Writer, amount);
        let sent = self.jobs.send(Job::KeepRefused(batch, reason, why));
        if let Err(SendError(Job::KeepRefused(batch, ..))) = sent {
            self.tell_lost(&batch, reason);
            let lost = Place::Discarded(reason);
            self.statistics.transfer(Place::Writer, lost, amount);
        }
    }

    fn tell_lost(&self, batch: &Batch, reason: Reason) {
        for (record, _) in batch.remaining_messages() {
            let fate = || Fate::Discarded(reason, "the fallback writer has died".to_owned());
            self.fates.tell(record.waiter, fate);
        }
    }

    /// Ends the current file, after what was handed over before. `then` is called on the writer's
    /// thread; not at all if the writer has died.
    pub fn seal(&self, then: impl FnOnce() + Send + 'static) {
        self.unsealed.set(None);
        // A writer that has died has said so in `append`, and has no file open.
        let _ = self.jobs.send(Job::Seal(Box::new(then)));
    }

    /// Since when there has been something in the current file, or on its way there.
    pub fn unsealed_since(&self) -> Option<Instant> {
        self.unsealed.get()
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
