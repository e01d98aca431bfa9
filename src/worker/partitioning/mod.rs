//! The custom partitioner: JavaScript, so it runs on the JS thread, with the topic's partitions as
//! Kafka has them. One batch at a time, so that order is kept; meanwhile the inbox fills.

mod batch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{error, warn};

use super::signals::Signal;
use super::troubles::{Target, Way};
use super::{Held, Worker};
use crate::kafka::{Described, PartitionInfo, describe_topics};
use crate::message::Batch;
use crate::statistics::Place;

pub(super) use batch::Partitioning;
use batch::{Step, Waiting, split};

/// How long a request for a topic's partitions waits.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

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

impl Worker {
    pub(super) fn is_partitioning(&self) -> bool {
        let stage = self.partitioning.as_ref();
        stage.is_some_and(|stage| !stage.is_idle())
    }

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
        if let Some(batch) = self.replay.partitioned(batch) {
            self.hand_over(Held { batch, since: None });
        }
    }

    fn unpartitioned(&mut self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if let Some(batch) = self.replay.unpartitioned(batch) {
            self.writer.append(batch, Place::Worker);
        }
    }

    fn set_unknown_topics_aside(&mut self) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        let (to_file, unknown) = stage.set_unknown_aside();
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
            Step::Idle => {}
            Step::Ready(batch) => self.partitioned(batch),
            Step::NeedsPartitions(ticket, topics) => {
                let Some(client) = self.producers.main_client() else {
                    return;
                };
                self.signals.ask(move || Signal::Partitions {
                    ticket,
                    described: describe_topics(&client, topics, METADATA_TIMEOUT),
                });
            }
            Step::NeedsPartitioner(ticket, jobs) => {
                let send = self.signals.sender();
                stage.ask(
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
        if described.is_ok() {
            self.cluster.has_answered();
        }
        if stage.learn(ticket, described) {
            self.set_unknown_topics_aside();
            self.continue_partitioning();
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
        let stage = self.partitioning.as_mut();
        if let Some(batch) = stage.and_then(|stage| stage.finish(ticket, partitions)) {
            self.partitioned(batch);
        }
    }

    /// A batch that has waited for the whole retry window goes to file.
    pub(super) fn check_partitioning(&mut self) {
        let Some(stage) = &mut self.partitioning else {
            return;
        };
        if stage.is_to_retry(Instant::now()) {
            return self.continue_partitioning();
        }
        let Some((batch, waited_for)) = stage.give_up_overdue(self.config.retry_window) else {
            return;
        };
        if waited_for == Waiting::Partitioner {
            warn!("the partitioner did not answer in time; messages go to the fallback file");
        }
        self.unpartitioned(batch);
        if waited_for != Waiting::Partitioner && !self.cluster.answered_lately() {
            self.fall_back("no metadata");
        }
    }

    /// What waits for the partitioner goes back to the head of the line.
    pub(super) fn give_up_partitioning(&mut self) {
        let batch = self.partitioning.as_mut().and_then(Partitioning::give_up);
        if let Some(batch) = batch.and_then(|batch| self.replay.unpartitioned(batch)) {
            self.held_back.push_front(Held { batch, since: None });
        }
    }
}
