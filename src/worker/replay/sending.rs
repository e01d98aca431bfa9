//! From the replayer to librdkafka.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::super::Shared;
use super::super::phase::Trial;
use super::super::producers::Producers;
use super::super::sizes::RefusedSizes;
use super::super::spreading::Spreading;
use super::super::troubles::{Target, Troubles, Way};
use super::failing::{Fate, fingerprint};
use super::{Action, Numbered, Renewal, Replaying};
use crate::kafka::Ticket;
use crate::message::{Amount, Content, Record, TopicId, now_ms};

/// The part of the replay's share that is used while live messages are about.
const SHARE_BESIDE_LIVE: u64 = 32;
/// How long a topic is remembered that takes no old messages: it may have been a clock after all.
const RETIMED_MEMORY: Duration = Duration::from_secs(600);

/// What the replay needs of the worker.
pub(in super::super) struct Context<'a> {
    pub(in super::super) shared: &'a Shared,
    pub(in super::super) producers: &'a mut Producers,
    pub(in super::super) troubles: &'a mut Troubles,
    pub(in super::super) sizes: &'a RefusedSizes,
    pub(in super::super) spreading: &'a Spreading,
    /// The message that is sent is to end an outage.
    pub(in super::super) trial: Option<&'a mut Trial>,
    pub(in super::super) answered_lately: bool,
    /// Live messages are about.
    pub(in super::super) beside_live: bool,
    /// Messages need partitions from the user's partitioner; it has time now, or not.
    pub(in super::super) partitioner: Option<bool>,
}

impl Context<'_> {
    /// Beside live messages, little is on its way at once: they would wait behind it at the broker.
    fn room(&self) -> u64 {
        let share = self.shared.inbox.limits().replay;
        if self.beside_live {
            share / SHARE_BESIDE_LIVE
        } else {
            share
        }
    }

    /// `None` if this message can't go now; else what it is the trial of, if it is one.
    fn choose_partition(
        &mut self,
        record: &mut Record,
        key: &[u8],
        now: Instant,
    ) -> Option<Option<Target>> {
        let tried = match self.troubles.way(record, key, now) {
            Way::File if self.trial.is_none() => return None,
            Way::File => None,
            Way::Kafka(partition) => {
                record.partition = partition;
                record.partition = self.spreading.partition(record, key, now_ms());
                None
            }
            Way::Trial(target) => {
                record.partition = target.partition_of(record);
                Some(target)
            }
        };
        if let Some(trial) = &mut self.trial {
            trial.of = Some(Target {
                topic: record.topic,
                partition: record.partition,
            });
        }
        Some(tried)
    }
}

pub(in super::super) enum Progress {
    /// There is nothing to hand over, or nothing can be now.
    Nothing,
    /// There may be more.
    Some,
    /// There is no room for more.
    Full,
    /// There may be more when this is done.
    Act(Action),
}

/// What became of one message.
enum Handed {
    /// It is on its way, or was returned.
    Over,
    /// Librdkafka has no room.
    Full,
    Failed(Action),
}

impl Replaying {
    /// Hands over the messages of one batch, as far as there is room.
    pub(in super::super) fn hand_over(&mut self, context: &mut Context<'_>) -> Progress {
        if self.renewal.is_some() || self.on_its_way.cost() >= context.room() {
            return Progress::Nothing;
        }
        let Some(numbered) = self.waiting.pop_front() else {
            return Progress::Nothing;
        };
        match context.partitioner {
            Some(false) if !numbered.partitioned => {
                self.waiting.push_front(numbered);
                Progress::Nothing
            }
            Some(true) if !numbered.partitioned => {
                self.at_partitioner = Some(numbered.next_id);
                Progress::Act(Action::Partition(numbered.batch))
            }
            _ => self.hand_batch_over(numbered, context),
        }
    }

    fn hand_batch_over(&mut self, mut numbered: Numbered, context: &mut Context<'_>) -> Progress {
        let times = (Instant::now(), now_ms());
        while let Some((record, content)) = numbered.batch.peek() {
            if self.on_its_way.cost() >= context.room() {
                self.waiting.push_front(numbered);
                return Progress::Full;
            }
            let id = numbered.next_id;
            let handed = self.hand_one_over(id, *record, content, times, context);
            if matches!(handed, Handed::Full) {
                self.waiting.push_front(numbered);
                return Progress::Full;
            }
            numbered.next_id += 1;
            numbered.batch.advance();
            if let Handed::Failed(action) = handed {
                self.waiting.push_front(numbered);
                return Progress::Act(action);
            }
        }
        Progress::Some
    }

    fn hand_one_over(
        &mut self,
        id: u64,
        mut record: Record,
        content: Content<'_>,
        (now, now_ms): (Instant, i64),
        context: &mut Context<'_>,
    ) -> Handed {
        let (topic, ticket) = (record.topic, Ticket::file(id));
        let Some(tried) = context.choose_partition(&mut record, content.key, now) else {
            self.return_one(id, topic);
            return Handed::Over;
        };
        if self.is_retimed(topic) {
            record.timestamp = now_ms;
        }
        let size = content.amount();
        let alone = self.goes_alone(topic)
            || context.sizes.was_refused(topic, size.bytes, now)
            // Others wait for its outcome, and nothing of its topic can overtake it: it may time out with
            // the retry window.
            || context.trial.is_some()
            || tried.is_some();
        let producer = if alone {
            context.producers.alone()
        } else {
            context.producers.replay()
        };
        let name = || context.shared.topics.name(topic);
        let produced = producer.map_or(Err(RDKafkaErrorCode::Fail), |producer| {
            producer.produce(&record, name, content, ticket, now_ms)
        });
        match produced {
            Ok(()) => {
                if let Some(target) = tried {
                    context.troubles.begin_trial(target, ticket, now);
                }
                self.sent(size, now);
                Handed::Over
            }
            Err(RDKafkaErrorCode::QueueFull) => Handed::Full,
            Err(code) => {
                let fate = Fate {
                    id,
                    record,
                    code,
                    size,
                    alone,
                    fingerprint: fingerprint(content),
                };
                Handed::Failed(self.failed(&fate, context))
            }
        }
    }

    fn sent(&mut self, size: Amount, now: Instant) {
        if self.on_its_way.is_zero() {
            self.last_report = now;
        }
        self.on_its_way.add(size);
    }

    fn is_retimed(&self, topic: TopicId) -> bool {
        self.retimed
            .get(&topic)
            .is_some_and(|since| since.elapsed() < RETIMED_MEMORY)
    }

    /// Whether the next message of this topic goes alone, because its batch was refused.
    fn goes_alone(&mut self, topic: TopicId) -> bool {
        let Some(left) = self.alone.get_mut(&topic) else {
            return false;
        };
        *left -= 1;
        if *left == 0 {
            self.alone.remove(&topic);
        }
        true
    }

    /// The client has to be another one: it knows too many topics, or should be a fleet.
    pub(in super::super) fn renew(&mut self) {
        self.renewal.get_or_insert(Renewal::NewClient);
    }

    /// It is replaced when it has nothing on its way.
    pub(in super::super) fn check_renewal(&mut self, producers: &mut Producers) {
        if !self.has_landed() {
            return;
        }
        let Some(renewal) = self.renewal.take() else {
            return;
        };
        if matches!(renewal, Renewal::SmallerBatches) {
            producers.make_batches_smaller();
        }
        producers.close_replay();
    }
}
