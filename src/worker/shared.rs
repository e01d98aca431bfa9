//! What the JS thread and the worker share, and what the one asks of the other.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::fates::Fates;
use crate::inbox::Inbox;
use crate::message::Topics;
use crate::statistics::Statistics;

/// A promise of the user's, to be settled once.
pub type Settle = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the JS thread asks of the worker, beside taking messages.
pub enum Request {
    /// Settle when Kafka answers. It may be forgotten by its number.
    Init(Settle, u32),
    /// Settle when there is room in memory.
    Drained(Settle, u32),
    /// What has this number is not waited for any more.
    Forget(u32),
    /// Flush within this time, or within the retry window, write the rest to file, settle.
    End(Settle, Option<Duration>),
    /// As `End`, quickly: the process or its JS environment is going away.
    Exit,
}

/// What the JS thread and the worker share.
pub struct Shared {
    pub inbox: Arc<Inbox>,
    pub statistics: Arc<Statistics>,
    pub topics: Arc<Topics>,
    pub fates: Arc<Fates>,
    pub log: tracing::Dispatch,
    /// The JS side keeps its event loop alive and wants to hear of idleness.
    pub holds_loop: AtomicBool,
    requests: Mutex<VecDeque<Request>>,
    ended: Mutex<bool>,
    has_ended: Condvar,
}

impl Shared {
    pub fn new(
        inbox: Arc<Inbox>,
        statistics: Arc<Statistics>,
        topics: Arc<Topics>,
        log: tracing::Dispatch,
    ) -> Self {
        Shared {
            inbox,
            statistics,
            topics,
            fates: Arc::default(),
            log,
            holds_loop: AtomicBool::new(false),
            requests: Mutex::default(),
            ended: Mutex::new(false),
            has_ended: Condvar::new(),
        }
    }

    /// Asks something of the worker. What is asked after its end is settled at once.
    pub fn request(&self, request: Request) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            drop(ended);
            match request {
                Request::Init(settle, _)
                | Request::Drained(settle, _)
                | Request::End(settle, _) => settle(Ok(())),
                Request::Forget(_) | Request::Exit => {}
            }
            return;
        }
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(request);
        drop(ended);
        self.inbox.wake();
    }

    /// Blocks until the worker's thread is through, or for `timeout`. Returns whether it is.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) = self
            .has_ended
            .wait_timeout_while(ended, timeout, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }

    /// The number of messages in memory: not on disk, not delivered, not discarded.
    pub fn in_memory(&self) -> u64 {
        let (_, held, counts) = self.inbox.snapshot();
        held.messages + counts.worker.messages + counts.flight.messages + counts.writer.messages
    }

    pub(super) fn set_ended(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.has_ended.notify_all();
    }

    pub(super) fn take_requests(&self) -> VecDeque<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
