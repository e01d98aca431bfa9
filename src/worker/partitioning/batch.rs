//! The batch that is being partitioned, and what it waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::{CustomPartitioner, PartitionJob, PartitionReply};
use crate::kafka::{Described, PartitionInfo};
use crate::message::{ANY_PARTITION, Batch, Record, TopicId, Topics};

/// How long a topic's partitions are believed: topics grow.
const REFRESH: Duration = Duration::from_secs(60);
/// How long it is until they are asked for again, after no answer.
const RETRY: Duration = Duration::from_millis(200);
/// How long a partitioner may take where messages wait for ever (`message.timeout.ms: 0`).
const PARTITIONER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Waiting {
    Nothing,
    Partitions,
    Partitioner,
}

pub(in crate::worker) struct Partitioning {
    partitioner: Box<dyn CustomPartitioner>,
    batch: Option<Batch>,
    since: Instant,
    waiting: Waiting,
    retry_at: Option<Instant>,
    known: HashMap<TopicId, Known>,
    /// Which batch a reply is for; one that comes too late is for none.
    ticket: u64,
}

/// A topic's partitions, as Kafka told them for the batch of this ticket.
struct Known {
    since: Instant,
    ticket: u64,
    partitions: Vec<PartitionInfo>,
}

/// What the batch needs next.
pub(in crate::worker) enum Step {
    Idle,
    NeedsPartitions(u64, Vec<(TopicId, Arc<str>)>),
    NeedsPartitioner(u64, Vec<PartitionJob>),
    Ready(Batch),
}

impl Partitioning {
    pub(in crate::worker) fn new(partitioner: Box<dyn CustomPartitioner>) -> Self {
        Partitioning {
            partitioner,
            batch: None,
            since: Instant::now(),
            waiting: Waiting::Nothing,
            retry_at: None,
            known: HashMap::new(),
            ticket: 0,
        }
    }

    /// Forgets the partitions of the other topics.
    pub(in crate::worker) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.known.retain(|topic, _| is_known(*topic));
    }

    pub(in crate::worker) fn is_idle(&self) -> bool {
        self.batch.is_none()
    }

    pub(super) fn begin(&mut self, batch: Batch) {
        self.batch = Some(batch);
        self.since = Instant::now();
        self.ticket += 1;
    }

    pub(super) fn give_up(&mut self) -> Option<Batch> {
        self.waiting = Waiting::Nothing;
        self.retry_at = None;
        self.ticket += 1;
        self.batch.take()
    }

    pub(super) fn next(&mut self, topics: &Topics) -> Step {
        let Some(batch) = &self.batch else {
            return Step::Idle;
        };
        if self.waiting != Waiting::Nothing {
            return Step::Idle;
        }
        let is_chosen = |(record, _): (&Record, _)| record.partition != ANY_PARTITION;
        let all_chosen = batch.remaining_messages().all(is_chosen);
        if all_chosen {
            return self.give_up().map_or(Step::Idle, Step::Ready);
        }
        let mut unknown: Vec<TopicId> = batch
            .remaining_messages()
            .map(|(record, ..)| record.topic)
            .filter(|topic| !self.is_known(*topic))
            .collect();
        unknown.sort_by_key(|topic| topic.0);
        unknown.dedup();
        if !unknown.is_empty() {
            self.waiting = Waiting::Partitions;
            return Step::NeedsPartitions(
                self.ticket,
                unknown
                    .into_iter()
                    .map(|topic| (topic, topics.name(topic)))
                    .collect(),
            );
        }
        self.waiting = Waiting::Partitioner;
        Step::NeedsPartitioner(self.ticket, self.jobs(topics))
    }

    /// What is known of partitions now, or why it could not be learned. Returns whether the batch goes on.
    pub(super) fn learn(&mut self, ticket: u64, described: Result<Described, String>) -> bool {
        let is_waited_for = self.ticket == ticket && self.waiting == Waiting::Partitions;
        if is_waited_for {
            self.waiting = Waiting::Nothing;
        }
        match described {
            Ok(described) => {
                for (topic, partitions) in described.topics {
                    let known = Known {
                        since: Instant::now(),
                        ticket,
                        partitions,
                    };
                    self.known.insert(topic, known);
                }
                is_waited_for
            }
            Err(why) => {
                debug!("the partitions could not be learned: {why}");
                if is_waited_for {
                    self.retry_at = Some(Instant::now() + RETRY);
                }
                false
            }
        }
    }

    /// Messages of topics that do not exist, which have no partition to choose from, leave the batch.
    pub(super) fn set_unknown_aside(&mut self) -> (Batch, Vec<TopicId>) {
        let mut unknown = Vec::new();
        let Some(batch) = self.batch.take() else {
            return (Batch::default(), unknown);
        };
        let (batch, aside) = split(batch, |record| {
            let is_unknown = self.partitions(record.topic).is_empty();
            if is_unknown && !unknown.contains(&record.topic) {
                unknown.push(record.topic);
            }
            is_unknown
        });
        self.batch = Some(batch).filter(|batch| !batch.is_empty());
        (aside, unknown)
    }

    pub(super) fn ask(&self, jobs: Vec<PartitionJob>, reply: PartitionReply) {
        self.partitioner.ask(jobs, reply);
    }

    /// The partitioner's answer. Returns the batch, if it is for that.
    pub(super) fn finish(&mut self, ticket: u64, partitions: &[Option<i32>]) -> Option<Batch> {
        if self.ticket != ticket {
            return None;
        }
        let mut batch = self.give_up()?;
        let records = batch.remaining_records().iter_mut();
        let open = records.filter(|record| record.partition == ANY_PARTITION);
        for (record, partition) in open.zip(partitions) {
            record.partition = partition.unwrap_or(ANY_PARTITION);
        }
        Some(batch)
    }

    /// Whether partitions that could not be learned are to be asked for again.
    pub(super) fn is_to_retry(&mut self, now: Instant) -> bool {
        let is_time = self.retry_at.is_some_and(|at| at <= now);
        if is_time {
            self.retry_at = None;
        }
        is_time
    }

    /// The batch, if it has waited for the whole retry window, and for what.
    pub(super) fn give_up_overdue(&mut self, window: Option<Duration>) -> Option<(Batch, Waiting)> {
        let waiting = self.waiting;
        let patience = match waiting {
            Waiting::Partitioner => Some(window.unwrap_or(PARTITIONER_PATIENCE)),
            Waiting::Nothing | Waiting::Partitions => window,
        };
        if patience.is_none_or(|patience| self.since.elapsed() < patience) {
            return None;
        }
        Some((self.give_up()?, waiting))
    }

    /// A topic without partitions does not exist, which is believed for this batch only.
    fn is_known(&self, topic: TopicId) -> bool {
        self.known.get(&topic).is_some_and(|known| {
            if known.partitions.is_empty() {
                known.ticket == self.ticket
            } else {
                known.since.elapsed() < REFRESH
            }
        })
    }

    fn partitions(&self, topic: TopicId) -> &[PartitionInfo] {
        self.known
            .get(&topic)
            .map_or(&[], |known| &known.partitions)
    }

    fn jobs(&mut self, topics: &Topics) -> Vec<PartitionJob> {
        let mut jobs: Vec<(TopicId, PartitionJob)> = Vec::new();
        let Some(batch) = &self.batch else {
            return Vec::new();
        };
        for (record, content) in batch.remaining_messages() {
            if record.partition != ANY_PARTITION {
                continue;
            }
            let same = jobs.last().is_some_and(|(topic, _)| *topic == record.topic);
            if !same {
                let partitions = self.partitions(record.topic).to_vec();
                jobs.push((
                    record.topic,
                    PartitionJob {
                        topic: topics.name(record.topic),
                        partitions,
                        messages: Vec::new(),
                    },
                ));
            }
            if let Some((_, job)) = jobs.last_mut() {
                job.messages
                    .push((content.key.to_vec(), content.value.to_vec()));
            }
        }
        jobs.into_iter().map(|(_, job)| job).collect()
    }
}

/// The batch without the messages that `set_aside` is true for, and those. Order is kept.
pub(super) fn split(batch: Batch, mut set_aside: impl FnMut(&Record) -> bool) -> (Batch, Batch) {
    let (mut kept, mut aside) = (Batch::default(), Batch::default());
    for (record, content) in batch.remaining_messages() {
        let to = if set_aside(record) {
            &mut aside
        } else {
            &mut kept
        };
        to.push(*record, content);
    }
    (kept, aside)
}
