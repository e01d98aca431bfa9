//! A circuit breaker for each partition or topic in trouble: its messages go to file, others flow on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::kafka::{Partitioner, Ticket};
use crate::message::{ANY_PARTITION, Record, TopicId};
use crate::options::RetryPolicy;

/// Trouble that comes back within this time is the same trouble.
const RELAPSE: Duration = Duration::from_secs(60);
/// From so many on, those that are long over are forgotten.
const MANY: usize = 1000;
/// How often a keyless message's partition is drawn anew because it was one in trouble.
const DRAWS: u32 = 20;

/// What a trouble is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub topic: TopicId,
    /// [`ANY_PARTITION`]: all of them.
    pub partition: i32,
}

impl Target {
    pub fn topic(topic: TopicId) -> Self {
        Target {
            topic,
            partition: ANY_PARTITION,
        }
    }

    /// Where a message goes that is to show whether this is well again.
    pub fn partition_of(self, record: &Record) -> i32 {
        if self.partition == ANY_PARTITION {
            record.partition
        } else {
            self.partition
        }
    }
}

/// Where the next message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this partition; [`ANY_PARTITION`] is librdkafka's to choose.
    Kafka(i32),
    /// To Kafka, as the one message that tells whether the trouble is over.
    Trial(Target),
    File,
}

#[derive(Clone, Copy)]
enum Circuit {
    /// To file, until it is time for a trial.
    Open { until: Instant },
    /// One message is on its way; the others go to file. Not heard of until then, it has told nothing.
    Trial { ticket: Ticket, until: Instant },
    /// The trouble is over, since then. If it comes back soon, the wait goes on growing.
    Closed { since: Instant },
}

struct Trouble {
    circuit: Circuit,
    attempt: u32,
}

/// Of a topic that is in trouble as a whole or in part.
#[derive(Default)]
struct Ill {
    /// Its circuits that are not closed.
    open: u32,
    /// How many partitions it has; not known until Kafka was asked.
    partitions: Option<i32>,
}

/// Partitions and topics in trouble. What is not in here is well.
pub struct Troubles {
    troubles: HashMap<Target, Trouble>,
    ill: HashMap<TopicId, Ill>,
    trials: HashMap<Ticket, Target>,
    policy: RetryPolicy,
    partitioner: Partitioner,
    /// How long a trial may take.
    patience: Duration,
}

impl Troubles {
    pub fn new(policy: RetryPolicy, partitioner: Partitioner, patience: Duration) -> Self {
        Troubles {
            troubles: HashMap::new(),
            ill: HashMap::new(),
            trials: HashMap::new(),
            policy,
            partitioner,
            patience,
        }
    }

    pub fn way(&self, record: &Record, key: &[u8], now: Instant) -> Way {
        let Some(ill) = self.ill.get(&record.topic) else {
            return Way::Kafka(record.partition);
        };
        let whole = self.way_to(Target::topic(record.topic), now);
        if !matches!(whole, Way::Kafka(_)) {
            return whole;
        }
        if record.partition != ANY_PARTITION {
            return self.way_to_partition(record, record.partition, now);
        }
        let Some(partitions) = ill.partitions else {
            // Which partition this is for is not known yet.
            return Way::File;
        };
        let by_key = if record.is_keyless() {
            None
        } else {
            self.partitioner.partition(key, partitions)
        };
        match by_key {
            Some(partition) => self.way_to_partition(record, partition, now),
            None => self.any_way(record, partitions, now),
        }
    }

    /// A message that may go to any partition goes to one that is well.
    fn any_way(&self, record: &Record, partitions: i32, now: Instant) -> Way {
        let mut random = rand::rng();
        for _ in 0..DRAWS {
            let partition = random.random_range(0..partitions.max(1));
            let way = self.way_to_partition(record, partition, now);
            if way != Way::File {
                return way;
            }
        }
        Way::File
    }

    fn way_to_partition(&self, record: &Record, partition: i32, now: Instant) -> Way {
        self.way_to(
            Target {
                topic: record.topic,
                partition,
            },
            now,
        )
    }

    fn way_to(&self, target: Target, now: Instant) -> Way {
        match self.troubles.get(&target).map(|trouble| trouble.circuit) {
            None | Some(Circuit::Closed { .. }) => Way::Kafka(target.partition),
            Some(Circuit::Open { until } | Circuit::Trial { until, .. }) if until <= now => {
                Way::Trial(target)
            }
            Some(_) => Way::File,
        }
    }

    /// Whether this topic is in trouble, and no trial of it is due.
    pub fn is_topic_shut(&self, topic: TopicId, now: Instant) -> bool {
        let Some(ill) = self.ill.get(&topic) else {
            return false;
        };
        if ill.partitions.is_none() && !self.is_whole_topic_ill(topic) {
            // Nothing can be sent before it is known where to.
            return true;
        }
        let mut circuits = self.troubles.iter().filter(|(it, _)| it.topic == topic);
        !circuits.any(|(target, _)| matches!(self.way_to(*target, now), Way::Trial(_)))
    }

    /// Whether this topic is in trouble, as a whole or in part.
    pub fn is_topic_ill(&self, topic: TopicId) -> bool {
        self.ill.contains_key(&topic)
    }

    /// How many topics are in trouble, as a whole or in part.
    pub fn ill_topics(&self) -> usize {
        self.ill.len()
    }

    /// Forgets the other topics, which have no messages on their way.
    pub fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.troubles.retain(|target, _| is_known(target.topic));
        self.ill.retain(|topic, _| is_known(*topic));
    }

    /// Whether anything's messages go to file.
    pub fn is_any_open(&self) -> bool {
        !self.ill.is_empty()
    }

    /// Topics in part in trouble whose number of partitions is not known.
    pub fn unknown_topics(&self) -> Vec<TopicId> {
        let unknown = self
            .ill
            .iter()
            .filter(|(topic, ill)| ill.partitions.is_none() && !self.is_whole_topic_ill(**topic));
        unknown.map(|(topic, _)| *topic).collect()
    }

    fn is_whole_topic_ill(&self, topic: TopicId) -> bool {
        let trouble = self.troubles.get(&Target::topic(topic));
        trouble.is_some_and(|trouble| !matches!(trouble.circuit, Circuit::Closed { .. }))
    }

    pub fn has_partitions(&mut self, topic: TopicId, partitions: i32) {
        if let Some(ill) = self.ill.get_mut(&topic)
            && partitions > 0
        {
            ill.partitions = Some(partitions);
        }
    }

    /// The message of this number is the trial.
    pub fn begin_trial(&mut self, target: Target, ticket: Ticket, now: Instant) {
        if let Some(trouble) = self.troubles.get_mut(&target) {
            if let Circuit::Trial { ticket, .. } = trouble.circuit {
                self.trials.remove(&ticket);
            }
            trouble.circuit = Circuit::Trial {
                ticket,
                until: now + self.patience,
            };
            self.trials.insert(ticket, target);
        }
    }

    /// Messages are refused or not answered. Returns whether that is news.
    pub fn trip(&mut self, target: Target, now: Instant) -> bool {
        if self.troubles.len() > MANY {
            self.troubles.retain(|_, trouble| match trouble.circuit {
                Circuit::Closed { since } => now.duration_since(since) <= RELAPSE,
                _ => true,
            });
        }
        let trouble = self.troubles.entry(target).or_insert(Trouble {
            circuit: Circuit::Closed { since: now },
            attempt: 0,
        });
        let is_news = match trouble.circuit {
            Circuit::Closed { since } => {
                if now.duration_since(since) > RELAPSE {
                    trouble.attempt = 0;
                }
                self.ill.entry(target.topic).or_default().open += 1;
                true
            }
            Circuit::Trial { ticket, .. } => {
                self.trials.remove(&ticket);
                false
            }
            Circuit::Open { until } if until <= now => false,
            // Further reports of messages that were on their way already are no further attempt.
            Circuit::Open { .. } => return false,
        };
        trouble.circuit = Circuit::Open {
            until: now + self.policy.delay(trouble.attempt),
        };
        trouble.attempt += 1;
        is_news
    }

    /// What this message is the trial of.
    pub fn trial_of(&self, ticket: Ticket) -> Option<Target> {
        if self.trials.is_empty() {
            return None;
        }
        self.trials.get(&ticket).copied()
    }

    /// Kafka has answered about this message, whatever it said. Returns what it was the trial of.
    pub fn answered(&mut self, ticket: Ticket, now: Instant) -> Option<Target> {
        let target = self.trials.remove(&ticket)?;
        self.troubles.get_mut(&target)?.circuit = Circuit::Closed { since: now };
        if let Some(ill) = self.ill.get_mut(&target.topic) {
            ill.open -= 1;
            if ill.open == 0 {
                self.ill.remove(&target.topic);
            }
        }
        Some(target)
    }

    /// Whether this is known to be in trouble, and no trial is on its way.
    pub fn is_open(&self, target: Target) -> bool {
        let trouble = self.troubles.get(&target);
        trouble.is_some_and(|trouble| matches!(trouble.circuit, Circuit::Open { .. }))
    }

    /// This message has to be sent again: if it was a trial, it has told nothing.
    pub fn abandon_trial(&mut self, ticket: Ticket, now: Instant) {
        if let Some(target) = self.trials.remove(&ticket)
            && let Some(trouble) = self.troubles.get_mut(&target)
        {
            trouble.circuit = Circuit::Open { until: now };
        }
    }

    /// Messages on their way were taken back: trials among them have told nothing.
    pub fn abandon_trials(&mut self, now: Instant) {
        for (_, target) in self.trials.drain() {
            if let Some(trouble) = self.troubles.get_mut(&target) {
                trouble.circuit = Circuit::Open { until: now };
            }
        }
    }
}

#[cfg(test)]
#[path = "troubles_tests.rs"]
mod tests;
