//! The hand-over from the JS thread to the worker.
//!
//! The JS thread appends to the current chunk under a lock that nobody holds for longer than it
//! takes to swap a chunk; full chunks queue up behind it and emptied ones come back to be filled
//! again, so in steady state nothing is allocated and nothing is ever moved to a larger arena.
//!
//! The worker says how it sleeps ([`Inbox::sleep`]): only a worker that sleeps until it is woken
//! costs `queue()` a wake-up; one that naps for a millisecond between two rounds does not.

mod limits;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub use limits::Limits;

use crate::message::{Amount, Batch, Reason, Record};
use crate::statistics::{Counts, Statistics};

/// Size of a chunk's arena, in bytes. Larger messages get a chunk of their own.
const CHUNK: usize = 256 * 1024;
/// Records that a chunk starts with room for.
const CHUNK_RECORDS: usize = 1024;
/// Emptied chunks that are kept for the next use.
const SPARE_CHUNKS: usize = 16;
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
    current: Batch,
    full: VecDeque<Batch>,
    spare: Vec<Batch>,
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
                current: Batch::default(),
                full: VecDeque::new(),
                spare: Vec::new(),
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
        state.current.roll_back();
        if state.closed {
            return Err(Reason::Ended);
        }
        if state.held.cost() + self.statistics.held_cost() >= self.limits.total {
            return Err(Reason::BufferFull);
        }
        if state.current.room() < room {
            state.begin_chunk(room)?;
        }
        let record = match write(state.current.arena()) {
            Ok(record) => record,
            Err(reason) => {
                state.current.roll_back();
                return Err(reason);
            }
        };
        let bytes = record.key_length as usize + record.value_length as usize;
        if Amount::of_one(bytes).cost() > self.limits.total {
            state.current.roll_back();
            return Err(Reason::TooLarge);
        }
        state.current.commit(record);
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
        let batch = match state.full.pop_front() {
            Some(batch) => batch,
            None if state.current.is_empty() => return None,
            // A few messages travel light: the chunk stays, or many such batches would hold much
            // more memory than they are counted as.
            None if state.current.remaining().bytes < (CHUNK / 4) as u64 => {
                let batch = state.current.compact();
                state.current.clear();
                batch
            }
            None => {
                let next = state.spare.pop().unwrap_or_default();
                std::mem::replace(&mut state.current, next)
            }
        };
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
        let mut state = self.lock();
        if state.spare.len() < SPARE_CHUNKS && (CHUNK..=2 * CHUNK).contains(&batch.room()) {
            state.spare.push(batch);
        }
    }

    /// No message is accepted any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Does `work` while nothing is in memory, here or elsewhere, and nothing can be accepted. Returns
    /// whether it did.
    pub fn while_empty(&self, work: impl FnOnce()) -> bool {
        let state = self.lock();
        let is_empty = state.held.is_zero() && self.statistics.is_memory_empty();
        if is_empty {
            work();
        }
        is_empty
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
            if !state.current.is_empty() || !state.full.is_empty() {
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

impl State {
    /// # Errors
    /// There is no memory for a message as large as this.
    fn begin_chunk(&mut self, room: usize) -> Result<(), Reason> {
        let spare = self
            .spare
            .pop()
            .filter(|spare| spare.room() >= room.max(CHUNK));
        let next = match spare {
            Some(spare) => spare,
            None => Batch::try_with_capacity(room.max(CHUNK), CHUNK_RECORDS)
                .map_err(|_| Reason::TooLarge)?,
        };
        let full = std::mem::replace(&mut self.current, next);
        if !full.is_empty() {
            self.full.push_back(full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ANY_PARTITION, TopicId};
    use crate::statistics::Place;

    fn inbox(max: u64) -> Inbox {
        Inbox::new(Limits::new(max), Arc::new(Statistics::default()))
    }

    fn push(inbox: &Inbox, value: &[u8]) -> Result<Pushed, Reason> {
        inbox.push(value.len() + 1, |arena| {
            arena.extend_from_slice(b"k");
            arena.extend_from_slice(value);
            Ok(Record {
                topic: TopicId(0),
                partition: ANY_PARTITION,
                keyless: false,
                key_length: 1,
                value_length: value.len() as u32,
                timestamp: 0,
            })
        })
    }

    #[test]
    fn messages_come_out_in_order_across_chunks() {
        let inbox = inbox(64 << 20);
        let count = 10_000_u32;
        for i in 0..count {
            assert_eq!(
                push(&inbox, format!("{i:0100}").as_bytes()),
                Ok(Pushed::Room)
            );
        }
        let mut seen = 0;
        while let Some(mut batch) = inbox.take() {
            while let Some((_, key, value)) = batch.peek() {
                assert_eq!(key, b"k");
                assert_eq!(value, format!("{seen:0100}").as_bytes());
                seen += 1;
                batch.advance();
            }
            inbox.recycle(batch);
        }
        assert_eq!(seen, count);
        assert_eq!(inbox.held(), Amount::default());
        assert_eq!(inbox.snapshot().2.worker.messages, u64::from(count));
    }

    #[test]
    fn memory_is_bounded_and_says_so_before() {
        let inbox = inbox(100_000);
        let mut nearly_full = None;
        let mut accepted = 0;
        while let Ok(pushed) = push(&inbox, &[b'x'; 200]) {
            accepted += 1;
            if pushed == Pushed::NearlyFull {
                nearly_full.get_or_insert(accepted);
            }
        }
        assert_eq!(push(&inbox, b"x"), Err(Reason::BufferFull));
        assert!(accepted <= 100_000 / 457 + 1, "{accepted}");
        assert!(nearly_full.unwrap() <= accepted / 15);
        assert!(!inbox.is_drained());
        while let Some(batch) = inbox.take() {
            // With the worker it still waits.
            assert!(!inbox.is_drained());
            let statistics = &inbox.statistics;
            statistics.transfer(Place::Worker, Place::Delivered, batch.remaining());
        }
        assert!(inbox.is_drained());
    }

    #[test]
    fn a_message_that_can_never_fit_is_too_large() {
        let inbox = inbox(100_000);
        assert_eq!(push(&inbox, &vec![b'x'; 200_000]), Err(Reason::TooLarge));
        assert_eq!(push(&inbox, b"small"), Ok(Pushed::Room));
        assert_eq!(
            inbox.take().unwrap().remaining(),
            Amount {
                messages: 1,
                bytes: 6
            }
        );
    }

    #[test]
    fn a_refused_message_leaves_no_bytes_behind() {
        let inbox = inbox(100_000);
        let refused = inbox.push(MIN_ROOM, |arena| {
            arena.extend_from_slice(b"half");
            Err(Reason::BadValue)
        });
        assert_eq!(refused, Err(Reason::BadValue));
        push(&inbox, b"v").unwrap();
        let batch = inbox.take().unwrap();
        assert_eq!(
            batch.peek().map(|(_, key, value)| (key, value)),
            Some((&b"k"[..], &b"v"[..]))
        );
    }

    #[test]
    fn a_panic_in_the_middle_of_a_message_leaves_no_bytes_behind() {
        let inbox = inbox(100_000);
        let panicking = || {
            inbox.push(MIN_ROOM, |arena| {
                arena.extend_from_slice(b"half");
                panic!("in the middle")
            })
        };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking));
        assert!(caught.is_err());
        push(&inbox, b"v").unwrap();
        let batch = inbox.take().unwrap();
        assert_eq!(batch.remaining().bytes, 2);
        assert_eq!(
            batch.peek().map(|(_, key, value)| (key, value)),
            Some((&b"k"[..], &b"v"[..]))
        );
    }

    #[test]
    fn a_large_message_leaves_no_large_chunk_behind() {
        let inbox = inbox(64 << 20);
        push(&inbox, &vec![b'x'; 8 << 20]).unwrap();
        push(&inbox, b"small").unwrap();
        while let Some(batch) = inbox.take() {
            inbox.recycle(batch);
        }
        let state = inbox.lock();
        let rooms = state.spare.iter().map(Batch::room);
        assert!(
            rooms
                .chain([state.current.room()])
                .all(|room| room <= 2 * CHUNK)
        );
    }

    #[test]
    fn nothing_is_accepted_after_close() {
        let inbox = inbox(100_000);
        inbox.close();
        assert_eq!(push(&inbox, b"v"), Err(Reason::Ended));
    }
}
