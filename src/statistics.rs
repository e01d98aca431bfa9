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
//! ```
//!
//! A message that is being replayed stays counted as on disk, where it is, until it is settled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use crate::message::{Amount, Reason};

/// Where an accepted message can be, beside the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the worker: drained from the inbox, not handed on yet.
    Worker,
    /// With librdkafka, until its delivery report.
    Flight,
    /// With the fallback writer, not in the file yet.
    Writer,
    /// In a fallback file.
    Disk,
    /// Acknowledged by Kafka.
    Delivered,
    /// Kept in a `.rejected` file: it could not be replayed.
    Rejected,
    Discarded(Reason),
}

/// The states of a publisher, as `getStatistics().state` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Made; neither `init()` nor `queue()` was called yet.
    #[default]
    Created,
    /// Kafka has not answered yet; messages wait for it within the retry window.
    Connecting,
    /// Messages go to Kafka.
    Publishing,
    /// Messages go to the fallback file; Kafka is probed in the background.
    FallingBack,
    /// `end()` has finished; nothing is accepted.
    Ended,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Connecting => "connecting",
            State::Publishing => "publishing",
            State::FallingBack => "fallingBack",
            State::Ended => "ended",
        }
    }
}

/// An error's text and time, and how many there were.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    pub count: u64,
    pub last: Option<(SystemTime, String)>,
}

impl Errors {
    fn record(&mut self, text: String, count: u64) {
        self.count += count;
        self.last = Some((SystemTime::now(), text));
    }
}

/// How many files there are, and their size.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileGauges {
    pub files: u64,
    pub bytes: u64,
}

/// What the replayer is doing, as `getStatistics().replay.state` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayState {
    /// `fallback.replay` is off.
    #[default]
    Off,
    /// There is nothing to replay.
    Idle,
    /// There are files, and Kafka, their topics or their disk are in trouble.
    Waiting,
    Replaying,
}

impl ReplayState {
    pub fn name(self) -> &'static str {
        match self {
            ReplayState::Off => "off",
            ReplayState::Idle => "idle",
            ReplayState::Waiting => "waiting",
            ReplayState::Replaying => "replaying",
        }
    }
}

/// What waits to be replayed.
#[derive(Clone, Debug, Default)]
pub struct ReplayGauges {
    pub state: ReplayState,
    /// Bytes of lines that are not settled.
    pub bytes: u64,
    pub messages: u64,
    /// When the oldest file's first message was queued, in milliseconds since the Unix epoch.
    pub oldest: Option<i64>,
    /// Name of the file that is being replayed.
    pub file: Option<String>,
    /// Of late; 0 when nothing is being replayed.
    pub bytes_per_second: f64,
}

/// Everything but the inbox, at one moment.
#[derive(Clone, Debug)]
pub struct Counts {
    pub state: State,
    pub worker: Amount,
    pub flight: Amount,
    pub writer: Amount,
    /// Only its messages are counted.
    pub disk: Amount,
    /// The file that is being written.
    pub current: FileGauges,
    /// Sealed files, and those of earlier processes.
    pub backlog: FileGauges,
    /// Memory of what is being replayed; the messages are counted in `disk`.
    pub replaying: Amount,
    pub replay: ReplayGauges,
    pub replayed: u64,
    pub rejected: u64,
    pub delivered: u64,
    /// All discarded messages, by reason.
    pub discarded: [u64; Reason::COUNT],
    /// Those among them that `queue()` did not accept.
    pub refused: u64,
    pub spilled: u64,
    pub recovered: u64,
    pub carried: u64,
    /// Messages written to the fallback file.
    pub written: u64,
    pub background_retries: u64,
    pub state_changes: u64,
    pub errors: Errors,
    pub file_errors: Errors,
    pub last_reset: Option<SystemTime>,
}

impl Counts {
    pub fn discarded_total(&self) -> u64 {
        self.discarded.iter().sum()
    }

    pub fn discarded_for(&self, reason: Reason) -> u64 {
        self.discarded[reason as usize]
    }

    fn place(&mut self, place: Place) -> Option<&mut Amount> {
        match place {
            Place::Worker => Some(&mut self.worker),
            Place::Flight => Some(&mut self.flight),
            Place::Writer => Some(&mut self.writer),
            Place::Disk => Some(&mut self.disk),
            Place::Delivered | Place::Rejected | Place::Discarded(_) => None,
        }
    }
}

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
            carried: 0,
            written: 0,
            background_retries: 0,
            state_changes: 0,
            errors: Errors::default(),
            file_errors: Errors::default(),
            last_reset: None,
        };
        Statistics {
            inner: Mutex::new(Inner {
                counts,
                latency: empty_histogram(),
            }),
            held_cost: AtomicU64::new(0),
            waiting_cost: AtomicU64::new(0),
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
        if amount.is_zero() {
            return;
        }
        let mut inner = self.lock();
        let counts = &mut inner.counts;
        match from {
            Place::Disk => counts.disk.subtract(messages_of(amount)),
            from => {
                if let Some(place) = counts.place(from) {
                    place.subtract(amount);
                }
            }
        }
        self.arrive(counts, to, amount);
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
            Place::Disk => {
                counts.written += amount.messages;
                counts.disk.add(messages_of(amount));
            }
            Place::Discarded(reason) => counts.discarded[reason as usize] += amount.messages,
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

    /// Acknowledged by Kafka, with the latency of each in microseconds.
    pub fn delivered(&self, amount: Amount, latencies: &[u64]) {
        let mut inner = self.lock();
        for latency in latencies {
            inner.latency.saturating_record(*latency);
        }
        inner.counts.flight.subtract(amount);
        self.arrive(&mut inner.counts, Place::Delivered, amount);
    }

    /// A message that `queue()` did not accept.
    pub fn refuse(&self, reason: Reason) {
        let mut inner = self.lock();
        inner.counts.discarded[reason as usize] += 1;
        inner.counts.refused += 1;
        inner
            .counts
            .errors
            .record(format!("discarded: {}", reason.sentence()), 1);
    }

    pub fn spilled(&self, messages: u64) {
        self.lock().counts.spilled += messages;
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
        inner.counts.state = state;
        inner.counts.state_changes += 1;
    }

    pub fn held_cost(&self) -> u64 {
        self.held_cost.load(Ordering::Relaxed)
    }

    pub fn waiting_cost(&self) -> u64 {
        self.waiting_cost.load(Ordering::Relaxed)
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
        counts.replayed = 0;
        counts.rejected = 0;
        counts.written = 0;
        counts.background_retries = 0;
        counts.state_changes = 0;
        counts.errors = Errors::default();
        counts.file_errors = Errors::default();
        counts.last_reset = Some(SystemTime::now());
    }
}

#[cfg(test)]
mod tests;
