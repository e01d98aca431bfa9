//! The hand-over from the JS thread to the worker.
//!
//! The JS thread appends to the current chunk ([`chunks`]) under a lock that nobody holds for longer
//! than it takes to swap a chunk.
//!
//! The worker says how it sleeps ([`Inbox::sleep`]): only a worker that sleeps until it is woken
//! costs `queue()` a wake-up; one that naps for a millisecond between two rounds does not.

mod chunks;
mod limits;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use chunks::Chunks;
pub use limits::Limits;

use crate::message::{Amount, Batch, Reason, Record, TopicId};
use crate::statistics::{Counts, Statistics};

/// Least room for a message that a chunk must have; below it the next chunk is begun.
pub const MIN_ROOM: usize = 4 * 1024;

/// What [`Inbox::push`] says of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// There is room for more.
    Room,
    /// Memory is nearly full; what follows may be spilled to the fallback file.
    NearlyFull,
}

struct State {
    chunks: Chunks,
    held: Amount,
    /// When the oldest of them came in, or the last chunk was taken.
    since: Instant,
    accepted: u64,
    closed: bool,
    worker_sleeps: bool,
}

pub struct Inbox {
    state: Mutex<State>,
    limits: Limits,
    statistics: Arc<Statistics>,
    wake: Notify,
    /// Ends the worker's nap: the inbox has reached its spill mark, or enough to go on with.
    urgent: Notify,
}

impl Inbox {
    pub fn new(limits: Limits, statistics: Arc<Statistics>) -> Self {
        Inbox {
            state: Mutex::new(State {
                chunks: Chunks::default(),
                held: Amount::default(),
                since: Instant::now(),
                accepted: 0,
                closed: false,
                worker_sleeps: false,
            }),
            limits,
            statistics,
            wake: Notify::new(),
            urgent: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Accepts one message. `write` appends its key and value to the arena, which has at least
    /// `room` bytes of room, and returns the record; what it appended is dropped again if it refuses.
    pub fn push(
        &self,
        room: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Record, Reason>,
    ) -> Result<Pushed, Reason> {
        let mut state = self.lock();
        // Should the last one have panicked in the middle of it.
        state.chunks.roll_back();
        if state.closed {
            return Err(Reason::Ended);
        }
        if state.held.cost() + self.statistics.held_cost() >= self.limits.total {
            return Err(Reason::BufferFull);
        }
        let record = match write(state.chunks.arena(room)?) {
            Ok(record) => record,
            Err(reason) => {
                state.chunks.roll_back();
                return Err(reason);
            }
        };
        let bytes = record.length();
        if Amount::of_one(bytes).cost() > self.limits.total {
            state.chunks.roll_back();
            return Err(Reason::TooLarge);
        }
        state.chunks.commit(record);
        if state.held.is_zero() {
            state.since = Instant::now();
        }
        state.held.add(Amount::of_one(bytes));
        state.accepted += 1;
        let wake = std::mem::take(&mut state.worker_sleeps);
        let held = state.held.cost();
        let nearly_full = held + self.statistics.waiting_cost() >= self.limits.high;
        let one = Amount::of_one(bytes).cost();
        let spills = held >= self.limits.spill && held - one < self.limits.spill;
        let gathered = self.limits.gathered;
        let (all, without) = (state.held.bytes, state.held.bytes - bytes as u64);
        let is_gathered = all >= gathered && without < gathered;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        if spills || is_gathered {
            self.urgent.notify_one();
        }
        Ok(if nearly_full {
            Pushed::NearlyFull
        } else {
            Pushed::Room
        })
    }

    /// Takes the oldest chunk, now counted as being with the worker.
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let batch = state.chunks.take()?;
        let amount = batch.remaining();
        state.held.subtract(amount);
        state.since = Instant::now();
        self.statistics.leave_inbox(amount);
        Some(batch)
    }

    /// Gives back a chunk for the next use. Its messages, if it still has any, are dropped: the
    /// caller has accounted for them.
    pub fn recycle(&self, mut batch: Batch) {
        batch.clear();
        self.lock().chunks.recycle(batch);
    }

    /// No message is accepted any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Does `work` with the topics of the messages that are here, while none can be accepted.
    pub fn with_topics<T>(&self, work: impl FnOnce(&HashSet<TopicId>) -> T) -> T {
        let state = self.lock();
        work(&state.chunks.topics())
    }

    pub fn held(&self) -> Amount {
        self.lock().held
    }

    /// Whether `drained()` may resolve.
    pub fn is_drained(&self) -> bool {
        self.lock().held.cost() + self.statistics.waiting_cost() <= self.limits.low
    }

    /// Wakes the worker for something other than a message.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns at once when there is something to take, else when woken.
    pub async fn sleep(&self) {
        {
            let mut state = self.lock();
            if !state.chunks.is_empty() {
                return;
            }
            state.worker_sleeps = true;
        }
        self.wake.notified().await;
    }

    /// How long the oldest message has been here, if there are fewer bytes than need not wait.
    pub fn gathering_for(&self) -> Option<Duration> {
        let state = self.lock();
        let waits = !state.held.is_zero() && state.held.bytes < self.limits.gathered;
        waits.then(|| state.since.elapsed())
    }

    /// Sleeps for a while, unless woken by something other than a message, or by so many messages
    /// that they have to move.
    pub async fn nap(&self, time: Duration) {
        tokio::select! {
            () = self.urgent.notified() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Ends the state of [`Inbox::sleep`] when something else woke the worker.
    pub fn awake(&self) {
        self.lock().worker_sleeps = false;
    }

    /// All counts at one moment: accepted, held here, and the rest.
    pub fn snapshot(&self) -> (u64, Amount, Counts) {
        let state = self.lock();
        (state.accepted, state.held, self.statistics.counts())
    }

    pub fn reset_statistics(&self) {
        let mut state = self.lock();
        state.accepted = 0;
        self.statistics.reset(state.held);
    }
}

#[cfg(test)]
mod tests;
