//! The custom partitioner: JavaScript, so it runs on the JS thread, with the topic's partitions as
//! Kafka has them. One batch at a time, so that order is kept; meanwhile the inbox fills.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, error, warn};

use super::signals::Signal;
use super::troubles::{Target, Way};
use super::{Held, Worker};
use crate::kafka::{Described, PartitionInfo, describe_topics};
use crate::message::{ANY_PARTITION, Batch, Record, TopicId, Topics};
use crate::statistics::Place;

/// How long a topic's partitions are believed: topics grow.
const REFRESH: Duration = Duration::from_secs(60);
/// How long a request for them waits, and how long it is until the next one.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);
/// How long a partitioner may take where messages wait for ever (`message.timeout.ms: 0`).
const PARTITIONER_PATIENCE: Duration = Duration::from_secs(30);

/// Messages of one topic, one after the other in the batch: their keys and values.
pub struct PartitionJob {
    pub topic: Arc<str>,
    pub partitions: Vec<PartitionInfo>,
    pub messages: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Takes a partition for each message, and the first failure's text.
pub type PartitionReply = Box<dyn FnOnce(Vec<Option<i32>>, Option<String>) + Send>;

/// The user's partitioner. It replies with one partition a message, `None` where it failed.
pub trait CustomPartitioner: Send {
    fn ask(&self, jobs: Vec<PartitionJob>, reply: PartitionReply);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Partitions,
    Partitioner,
}

pub(super) struct Partitioning {
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
pub(super) enum Stage {
    Idle,
    NeedsPartitions(u64, Vec<(TopicId, Arc<str>)>),
    NeedsPartitioner(u64, Vec<PartitionJob>),
    Ready(Batch),
}

impl Partitioning {
    pub(super) fn new(partitioner: Box<dyn CustomPartitioner>) -> Self {
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
    pub(super) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.known.retain(|topic, _| is_known(*topic));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.batch.is_none()
    }

    fn begin(&mut self, batch: Batch) {
        self.batch = Some(batch);
        self.since = Instant::now();
        self.ticket += 1;
    }

    fn give_up(&mut self) -> Option<Batch> {
        self.waiting = Waiting::Nothing;
        self.retry_at = None;
        self.ticket += 1;
        self.batch.take()
    }

    fn next(&mut self, topics: &Topics) -> Stage {
        let Some(batch) = &self.batch else {
            return Stage::Idle;
        };
        if self.waiting != Waiting::Nothing {
            return Stage::Idle;
        }
        let is_chosen = |(record, ..): (&Record, _, _)| record.partition != ANY_PARTITION;
        let all_chosen = batch.remaining_messages().all(is_chosen);
        if all_chosen {
            return self.give_up().map_or(Stage::Idle, Stage::Ready);
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
            return Stage::NeedsPartitions(
                self.ticket,
                unknown
                    .into_iter()
                    .map(|topic| (topic, topics.name(topic)))
                    .collect(),
            );
        }
        self.waiting = Waiting::Partitioner;
        Stage::NeedsPartitioner(self.ticket, self.jobs(topics))
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
        for (record, key, value) in batch.remaining_messages() {
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
                job.messages.push((key.to_vec(), value.to_vec()));
            }
        }
        jobs.into_iter().map(|(_, job)| job).collect()
    }
}

impl Worker {
    /// Begins with a batch; with none in work before.
    pub(super) fn partition(&mut self, batch: Batch) {
        let now = Instant::now();
        let troubles = &self.troubles;
        // Whose partition is not chosen yet may still be for one that is well.
        let (batch, to_file) = split(batch, |record| {
            troubles.is_open(Target::topic(record.topic))
                && troubles.way(record, b"", now) == Way::File
        });
        self.writer.append(to_file, Place::Worker);
        if let Some(stage) = &mut self.partitioning
            && !batch.is_empty()
        {
            stage.begin(batch);
            self.continue_partitioning();
        }
    }

    /// The same for messages of one topic that come from a file.
    pub(super) fn partition_replayed(&mut self, batch: Batch) {
        if let Some(stage) = &mut self.partitioning {
            stage.begin(batch);
            self.continue_partitioning();
        }
    }

    /// Each message has its partition, or is left to the default partitioner.
    fn partitioned(&mut self, batch: Batch) {
        if let Some(batch) = self.partitioned_for_replay(batch) {
            self.hand_over(Held { batch, since: None });
        }
    }

    fn unpartitioned(&mut self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if let Some(batch) = self.unpartitioned_for_replay(batch) {
            self.writer.append(batch, Place::Worker);
        }
    }

    /// Messages of a topic that does not exist have no partition to choose from: to file.
    fn set_unknown_topics_aside(&mut self) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        let Some(batch) = stage.batch.take() else {
            return;
        };
        let mut unknown = Vec::new();
        let (batch, to_file) = split(batch, |record| {
            let is_unknown = stage.partitions(record.topic).is_empty();
            if is_unknown && !unknown.contains(&record.topic) {
                unknown.push(record.topic);
            }
            is_unknown
        });
        stage.batch = Some(batch).filter(|batch| !batch.is_empty());
        self.unpartitioned(to_file);
        let code = RDKafkaErrorCode::UnknownTopicOrPartition;
        let unknown = unknown
            .into_iter()
            .map(|topic| (Target::topic(topic), code));
        self.are_troubled(unknown.collect());
    }

    fn continue_partitioning(&mut self) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        match stage.next(&self.shared.topics) {
            Stage::Idle => {}
            Stage::Ready(batch) => self.partitioned(batch),
            Stage::NeedsPartitions(ticket, topics) => {
                let Some(client) = self.producers.main_client() else {
                    return;
                };
                self.signals.ask(move || Signal::Partitions {
                    ticket,
                    described: describe_topics(&client, topics, METADATA_TIMEOUT),
                });
            }
            Stage::NeedsPartitioner(ticket, jobs) => {
                let send = self.signals.sender();
                stage.partitioner.ask(
                    jobs,
                    Box::new(move |partitions, failure| {
                        send(Signal::Partitioned {
                            ticket,
                            partitions,
                            failure,
                        });
                    }),
                );
            }
        }
    }

    pub(super) fn partitions_are_known(
        &mut self,
        ticket: u64,
        described: Result<Described, String>,
    ) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        let is_waited_for = stage.ticket == ticket && stage.waiting == Waiting::Partitions;
        if is_waited_for {
            stage.waiting = Waiting::Nothing;
        }
        match described {
            Ok(described) => {
                self.cluster.has_answered();
                for (topic, partitions) in described.topics {
                    let known = Known {
                        since: Instant::now(),
                        ticket,
                        partitions,
                    };
                    stage.known.insert(topic, known);
                }
                if is_waited_for {
                    self.set_unknown_topics_aside();
                    self.continue_partitioning();
                }
            }
            Err(why) => {
                debug!("the partitions could not be learned: {why}");
                if is_waited_for {
                    stage.retry_at = Some(Instant::now() + RETRY);
                }
            }
        }
    }

    pub(super) fn batch_is_partitioned(
        &mut self,
        ticket: u64,
        partitions: &[Option<i32>],
        failure: Option<String>,
    ) {
        if let Some(failure) = failure {
            error!(
                "the partitioner failed ({failure}); the default one is used for those messages"
            );
            self.shared
                .statistics
                .error(format!("the partitioner failed: {failure}"));
        }
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        if stage.ticket != ticket {
            return;
        }
        let Some(mut batch) = stage.give_up() else {
            return;
        };
        for (record, partition) in batch.remaining_records().iter_mut().zip(partitions) {
            record.partition = partition.unwrap_or(ANY_PARTITION);
        }
        self.partitioned(batch);
    }

    /// A batch that has waited for the whole retry window goes to file.
    pub(super) fn check_partitioning(&mut self) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        if stage.retry_at.is_some_and(|at| at <= Instant::now()) {
            stage.retry_at = None;
            self.continue_partitioning();
            return;
        }
        let patience = match stage.waiting {
            Waiting::Partitioner => Some(self.config.retry_window.unwrap_or(PARTITIONER_PATIENCE)),
            _ => self.config.retry_window,
        };
        let overdue = patience.is_some_and(|patience| stage.since.elapsed() >= patience);
        if stage.is_idle() || !overdue {
            return;
        }
        let waited_for = stage.waiting;
        if let Some(batch) = stage.give_up() {
            if waited_for == Waiting::Partitioner {
                warn!("the partitioner did not answer in time; messages go to the fallback file");
            }
            self.unpartitioned(batch);
        }
        if waited_for != Waiting::Partitioner && !self.cluster.answered_lately() {
            self.fall_back("no metadata");
        }
    }

    /// What waits for the partitioner goes back to the head of the line.
    pub(super) fn give_up_partitioning(&mut self) {
        let batch = self.partitioning.as_mut().and_then(Partitioning::give_up);
        if let Some(batch) = batch.and_then(|batch| self.unpartitioned_for_replay(batch)) {
            self.held_back.push_front(Held { batch, since: None });
        }
    }
}

/// The batch without the messages that `set_aside` is true for, and those. Order is kept.
fn split(batch: Batch, mut set_aside: impl FnMut(&Record) -> bool) -> (Batch, Batch) {
    let (mut kept, mut aside) = (Batch::default(), Batch::default());
    for (record, key, value) in batch.remaining_messages() {
        let to = if set_aside(record) {
            &mut aside
        } else {
            &mut kept
        };
        to.push(*record, key, value);
    }
    (kept, aside)
}
