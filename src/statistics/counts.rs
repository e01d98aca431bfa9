//! What is counted.

use std::time::SystemTime;

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
    /// In a file that another instance has taken over, which counts it as recovered.
    HandedOver,
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
    pub(super) fn record(&mut self, text: String, count: u64) {
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
    /// Lines that only a later version can publish.
    pub held: u64,
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
    pub handed_over: u64,
    pub carried: u64,
    /// Messages written to the fallback file.
    pub written: u64,
    pub background_retries: u64,
    pub state_changes: u64,
    pub errors: Errors,
    pub file_errors: Errors,
    pub last_reset: SystemTime,
    /// What its disk has not taken by the end is counted as discarded.
    pub is_writer_given_up: bool,
}

impl Counts {
    pub fn discarded_total(&self) -> u64 {
        self.discarded.iter().sum()
    }

    pub fn discarded_for(&self, reason: Reason) -> u64 {
        let count = self.discarded.get(reason as usize);
        count.copied().unwrap_or_default()
    }

    pub fn discard(&mut self, reason: Reason, messages: u64) {
        if let Some(count) = self.discarded.get_mut(reason as usize) {
            *count += messages;
        }
    }

    pub(super) fn place(&mut self, place: Place) -> Option<&mut Amount> {
        match place {
            Place::Worker => Some(&mut self.worker),
            Place::Flight => Some(&mut self.flight),
            Place::Writer => Some(&mut self.writer),
            Place::Disk => Some(&mut self.disk),
            Place::Delivered | Place::Rejected | Place::HandedOver | Place::Discarded(_) => None,
        }
    }
}
