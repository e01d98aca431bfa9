//! What the worker and the replayer say to each other.

use std::sync::Arc;

use crate::fallback::instance::Instance;
use crate::message::{Batch, TopicId, Topics};
use crate::options::ReplayConfig;
use crate::statistics::Statistics;

/// What the worker lets the replayer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Kafka is away: nothing is read.
    Hold,
    /// The oldest message, to find out whether Kafka takes it.
    One,
    /// Everything.
    Flow,
}

/// What became of messages, by their numbers. Each number gets one verdict.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub delivered: Vec<u64>,
    /// Refused for good, and why.
    pub rejected: Vec<(u64, String)>,
    /// Not delivered: their topics wait until [`Command::Resume`] or a new permission.
    pub returned: Vec<u64>,
}

impl Verdicts {
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.rejected.is_empty() && self.returned.is_empty()
    }
}

pub enum Command {
    Grant(Permission),
    Verdicts(Verdicts),
    /// This topic's trouble may be over.
    Resume(TopicId),
    /// The writer has sealed a file.
    Sealed,
    Close,
}

/// What the replayer has for the worker.
pub enum Offer {
    /// Messages, numbered upwards from `first_id`.
    Messages { first_id: u64, batch: Batch },
    /// There are files to replay. Told once, at the start.
    Found,
    /// With [`Permission::One`]: there is no message on disk.
    Nothing,
}

pub type Offers = Box<dyn Fn(Offer) + Send>;

/// What a replayer is started with.
pub struct ReplayerParts {
    pub config: ReplayConfig,
    pub instance: Arc<Instance>,
    pub topics: Arc<Topics>,
    pub statistics: Arc<Statistics>,
    /// Memory for what is on its way, in bytes of [`crate::message::Amount::cost`].
    pub share: u64,
    /// Batches are of one topic each.
    pub single_topic: bool,
}
