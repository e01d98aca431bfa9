//! The counters, and the conservation law that they obey.
//!
//! Every accepted message is in exactly one [`Place`]; it moves by [`Statistics::transfer`], which
//! takes it from one place and puts it into another under one lock. The inbox is the one place
//! counted elsewhere, under its own lock, because `queue()` fills it; a snapshot holds both locks
//! (inbox first). Therefore at any moment:
//!
//! ```text
//! queueCnt + discardedCnt.noTopic + recoveredCnt + carriedCnt
//!     = curQueuedCnt + fallback.messages + sentCnt + discardedCnt.total + replay.rejectedCnt
//!         + handedOverCnt
//! ```
//!
//! A message that is being replayed stays counted as on disk, where it is, until it is settled.

mod counts;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

pub use counts::{Counts, Errors, FileGauges, Place, ReplayGauges, ReplayState, State};

use crate::message::{Amount, Reason};
use crate::news::{Item, News};

/// Acknowledgement latency, in milliseconds, from librdkafka's hand-over to the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

struct Inner {
    counts: Counts,
    latency: Histogram<u64>,
}

/// Shared by all threads of one publisher.
pub struct Statistics {
    inner: Mutex<Inner>,
    /// Memory cost of what is with the worker, librdkafka and the writer: read by `queue()`.
    held_cost: AtomicU64,
    /// The same without librdkafka.
    waiting_cost: AtomicU64,
    /// Of what is counted here.
    pub news: News,
}

impl Default for Statistics {
    fn default() -> Self {
        let counts = Counts {
            state: State::Created,
            worker: Amount::default(),
            flight: Amount::default(),
            writer: Amount::default(),
            disk: Amount::default(),
            current: FileGauges::default(),
            backlog: FileGauges::default(),
            replaying: Amount::default(),
            replay: ReplayGauges::default(),
            replayed: 0,
            rejected: 0,
            delivered: 0,
            discarded: [0; Reason::COUNT],
            refused: 0,
            spilled: 0,
            recovered: 0,
            handed_over: 0,
            carried: 0,
            written: 0,
            background_retries: 0,
            state_changes: 0,
            errors: Errors::default(),
            file_errors: Errors::default(),
            last_reset: SystemTime::now(),
            is_writer_given_up: false,
        };
        Statistics {
            inner: Mutex::new(Inner {
                counts,
                latency: empty_histogram(),
            }),
            held_cost: AtomicU64::new(0),
            waiting_cost: AtomicU64::new(0),
            news: News::default(),
        }
    }
}

fn on_disk(messages: u64) -> Amount {
    Amount { messages, bytes: 0 }
}

fn messages_of(amount: Amount) -> Amount {
    on_disk(amount.messages)
}

/// From 1 µs to 10 min at two significant digits: 20 KB, however many values it records.
#[allow(clippy::unreachable, reason = "the bounds are constant")]
fn empty_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 2)
        .unwrap_or_else(|_| unreachable!("constant bounds are valid"));
    histogram.auto(true);
    histogram
}

impl Statistics {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves messages from one place to another.
    pub fn transfer(&self, from: Place, to: Place, amount: Amount) {
        if let Some(reason) = self.moves(from, to, amount) {
            self.tell_discarded(None, reason, amount.messages);
        }
    }

    /// Messages of this topic are no more.
    pub fn discard(&self, from: Place, reason: Reason, amount: Amount, topic: &str) {
        if let Some(reason) = self.moves(from, Place::Discarded(reason), amount) {
            self.tell_discarded(Some(topic), reason, amount.messages);
        }
    }

    fn tell_discarded(&self, topic: Option<&str>, reason: Reason, count: u64) {
        self.news.tell(|| Item::Discard {
            topic: topic.map(ToOwned::to_owned),
            reason: reason.name(),
            count,
        });
    }

    /// Returns why they were discarded, if they were.
    fn moves(&self, from: Place, to: Place, amount: Amount) -> Option<Reason> {
        if amount.is_zero() {
            return None;
        }
        let mut inner = self.lock();
        let counts = &mut inner.counts;
        let mut to = to;
        if counts.is_writer_given_up {
            if from == Place::Writer {
                return None;
            }
            if to == Place::Writer {
                to = Place::Discarded(Reason::FallbackFailed);
            }
        }
        match from {
            Place::Disk => {
                counts.disk.subtract(messages_of(amount));
                if to == Place::Writer {
                    // They were not written after all.
                    counts.written = counts.written.saturating_sub(amount.messages);
                }
            }
            from => {
                if let Some(place) = counts.place(from) {
                    place.subtract(amount);
                }
            }
        }
        self.arrive(counts, to, amount);
        match to {
            Place::Discarded(reason) => Some(reason),
            _ => None,
        }
    }

    /// What the writer has is given up; what it still says of it comes too late.
    pub fn give_up_writer(&self) -> Amount {
        let mut inner = self.lock();
        let left = std::mem::take(&mut inner.counts.writer);
        inner.counts.is_writer_given_up = true;
        let lost = Place::Discarded(Reason::FallbackFailed);
        self.arrive(&mut inner.counts, lost, left);
        drop(inner);
        if !left.is_zero() {
            self.tell_discarded(None, Reason::FallbackFailed, left.messages);
        }
        left
    }

    /// Kafka has acknowledged messages that were on disk.
    pub fn replayed(&self, messages: u64) {
        self.transfer(Place::Disk, Place::Delivered, on_disk(messages));
        self.lock().counts.replayed += messages;
    }

    /// Messages were found in files of earlier processes.
    pub fn recovered(&self, messages: u64) {
        let mut inner = self.lock();
        inner.counts.recovered += messages;
        inner.counts.disk.add(on_disk(messages));
    }

    /// Memory of what is being replayed.
    pub fn set_replaying(&self, amount: Amount) {
        let mut inner = self.lock();
        inner.counts.replaying = amount;
        self.update_costs(&inner.counts);
    }

    pub fn set_replay(&self, gauges: ReplayGauges) {
        self.lock().counts.replay = gauges;
    }

    /// There is one more file that waits to be replayed.
    pub fn add_backlog(&self, files: u64, bytes: u64) {
        let mut inner = self.lock();
        inner.counts.backlog.files += files;
        inner.counts.backlog.bytes += bytes;
    }

    pub fn subtract_backlog(&self, files: u64, bytes: u64) {
        let mut inner = self.lock();
        let backlog = &mut inner.counts.backlog;
        backlog.files = backlog.files.saturating_sub(files);
        backlog.bytes = backlog.bytes.saturating_sub(bytes);
    }

    /// Takes over what the caller has just removed from the inbox, whose lock it holds.
    pub fn leave_inbox(&self, amount: Amount) {
        let mut inner = self.lock();
        self.arrive(&mut inner.counts, Place::Worker, amount);
    }

    fn arrive(&self, counts: &mut Counts, to: Place, amount: Amount) {
        match to {
            Place::Delivered => counts.delivered += amount.messages,
            Place::Rejected => counts.rejected += amount.messages,
            Place::HandedOver => counts.handed_over += amount.messages,
            Place::Disk => {
                counts.written += amount.messages;
                counts.disk.add(messages_of(amount));
            }
            Place::Discarded(reason) => counts.discard(reason, amount.messages),
            place => {
                if let Some(place) = counts.place(place) {
                    place.add(amount);
                }
            }
        }
        self.update_costs(counts);
    }

    fn update_costs(&self, counts: &Counts) {
        let waiting = counts.worker.cost() + counts.writer.cost();
        self.waiting_cost.store(waiting, Ordering::Relaxed);
        let in_librdkafka = counts.flight.cost() + counts.replaying.cost();
        self.held_cost
            .store(waiting + in_librdkafka, Ordering::Relaxed);
    }

    /// Acknowledged by Kafka; `latencies` are times, and how many messages took each.
    pub fn delivered(&self, amount: Amount, latencies: &[(Duration, u64)]) {
        let mut inner = self.lock();
        for (time, messages) in latencies {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            inner.latency.saturating_record_n(micros, *messages);
        }
        inner.counts.flight.subtract(amount);
        self.arrive(&mut inner.counts, Place::Delivered, amount);
    }

    /// A message that `queue()` did not accept.
    pub fn refuse(&self, reason: Reason, topic: Option<&str>) {
        self.tell_discarded(topic, reason, 1);
        let mut inner = self.lock();
        inner.counts.discard(reason, 1);
        inner.counts.refused += 1;
        inner
            .counts
            .errors
            .record(format!("discarded: {}", reason.sentence()), 1);
    }

    pub fn spilled(&self, messages: u64) {
        self.lock().counts.spilled += messages;
        self.news.tell(|| Item::Spill { count: messages });
    }

    pub fn error(&self, text: String) {
        self.lock().counts.errors.record(text, 1);
    }

    pub fn errors(&self, text: String, count: u64) {
        self.lock().counts.errors.record(text, count);
    }

    pub fn file_error(&self, text: String) {
        self.lock().counts.file_errors.record(text, 1);
    }

    pub fn background_retry(&self) {
        self.lock().counts.background_retries += 1;
    }

    /// The file that is being written.
    pub fn set_current(&self, current: FileGauges) {
        self.lock().counts.current = current;
    }

    pub fn set_state(&self, state: State) {
        let mut inner = self.lock();
        let from = std::mem::replace(&mut inner.counts.state, state);
        inner.counts.state_changes += 1;
        drop(inner);
        self.news.tell(|| Item::State {
            to: state.name(),
            from: from.name(),
        });
    }

    pub fn held_cost(&self) -> u64 {
        self.held_cost.load(Ordering::Relaxed)
    }

    pub fn waiting_cost(&self) -> u64 {
        self.waiting_cost.load(Ordering::Relaxed)
    }

    /// Whether the writer has no message.
    pub fn is_all_written(&self) -> bool {
        self.lock().counts.writer.is_zero()
    }

    pub fn flight(&self) -> Amount {
        self.lock().counts.flight
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    pub fn latency(&self) -> Latency {
        let inner = self.lock();
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1000.0;
        Latency {
            count: inner.latency.len(),
            p50: ms(inner.latency.value_at_quantile(0.5)),
            p99: ms(inner.latency.value_at_quantile(0.99)),
            max: ms(inner.latency.max()),
        }
    }

    /// Zeroes the counters, keeps the gauges. What is held now becomes `carriedCnt`, so that the
    /// law still holds. `held` is what the inbox, whose lock the caller holds, has.
    pub fn reset(&self, held: Amount) {
        let mut inner = self.lock();
        inner.latency.reset();
        let counts = &mut inner.counts;
        counts.carried = held.messages
            + counts.worker.messages
            + counts.flight.messages
            + counts.writer.messages
            + counts.disk.messages;
        counts.delivered = 0;
        counts.discarded = [0; Reason::COUNT];
        counts.refused = 0;
        counts.spilled = 0;
        counts.recovered = 0;
        counts.handed_over = 0;
        counts.replayed = 0;
        counts.rejected = 0;
        counts.written = 0;
        counts.background_retries = 0;
        counts.state_changes = 0;
        counts.errors = Errors::default();
        counts.file_errors = Errors::default();
        counts.last_reset = SystemTime::now();
    }
}

#[cfg(test)]
mod tests;
