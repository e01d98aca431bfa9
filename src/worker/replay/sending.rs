//! From the replayer to librdkafka, and what came back.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

use super::super::Worker;
use super::super::collected::{Collected, Returned};
use super::super::troubles::{Target, Way};
use super::super::verdict::{Case, Extent, Verdict, decide, is_old};
use super::{Numbered, Replaying};
use crate::kafka::{Origin, Outcome, Ticket, classify, describe};
use crate::message::{Amount, Batch, Record, TopicId, now_ms};

/// The part of the replay's share that is used while live messages are about.
const SHARE_BESIDE_LIVE: u64 = 32;
/// How long after a live message that is so.
const LIVE_MEMORY: Duration = Duration::from_secs(1);
/// Of so many messages it is counted how often they were tried.
const MOST_TRIED: usize = 1000;
/// How long a topic is remembered that takes no old messages: it may have been a clock after all.
const RETIMED_MEMORY: Duration = Duration::from_secs(600);

/// A message from a file that was not delivered.
struct Fate {
    id: u64,
    record: Record,
    code: RDKafkaErrorCode,
    size: Amount,
    /// It was no part of a batch.
    alone: bool,
    fingerprint: u64,
}

/// What a message is known by from one reading of its file to the next.
fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

impl Replaying {
    /// How often this message was refused alone, and not said why, this time included.
    fn count_try(&mut self, outcome: Outcome, alone: bool, fingerprint: u64) -> u32 {
        if outcome != Outcome::Unexplained || !alone {
            return 1;
        }
        if self.tries.len() >= MOST_TRIED {
            self.tries.clear();
        }
        let tries = self.tries.entry(fingerprint).or_default();
        *tries += 1;
        *tries
    }
}

impl Worker {
    /// Hands messages to librdkafka while live ones leave room.
    pub(super) fn hand_replayed_over(&mut self) -> bool {
        let mut busy = false;
        self.check_replay_batches();
        while self.live_leaves_room() {
            let Some(mut numbered) = self
                .replay
                .as_mut()
                .and_then(|replay| replay.waiting.pop_front())
            else {
                break;
            };
            busy = true;
            if let Some(stage) = &self.partitioning
                && !numbered.partitioned
            {
                let is_free = stage.is_idle();
                if let Some(replay) = &mut self.replay {
                    if is_free {
                        replay.at_partitioner = Some(numbered.next_id);
                        self.partition_replayed(numbered.batch);
                    } else {
                        replay.waiting.push_front(numbered);
                    }
                }
                return is_free;
            }
            let (now, now_ms) = (Instant::now(), now_ms());
            while let Some((record, key, value)) = numbered.batch.peek() {
                let has_room = self.replay_has_room();
                if !has_room
                    || !self.produce_replayed(numbered.next_id, *record, key, value, now, now_ms)
                {
                    if let Some(replay) = &mut self.replay {
                        replay.waiting.push_front(numbered);
                    }
                    return busy;
                }
                numbered.next_id += 1;
                numbered.batch.advance();
            }
        }
        busy
    }

    fn live_leaves_room(&self) -> bool {
        self.held_back.is_empty()
            && !self.phase.is_taking()
            && self
                .replay
                .as_ref()
                .is_some_and(|replay| !replay.smaller_batches)
            && self.shared.inbox.held().cost() <= self.shared.inbox.limits().low
            && self.replay_has_room()
    }

    /// Beside live messages, little is on its way at once: they would wait behind it at the broker.
    fn replay_has_room(&self) -> bool {
        let share = self.shared.inbox.limits().replay;
        let room = if self.flight.was_fed_within(LIVE_MEMORY) {
            share / SHARE_BESIDE_LIVE
        } else {
            share
        };
        self.replay
            .as_ref()
            .is_some_and(|replay| replay.on_its_way.cost() < room)
    }

    /// Returns `false` when librdkafka has no room.
    fn produce_replayed(
        &mut self,
        id: u64,
        mut record: Record,
        key: &[u8],
        value: &[u8],
        now: Instant,
        now_ms: i64,
    ) -> bool {
        let size = Amount::of_one(key.len() + value.len());
        let (topic, ticket) = (record.topic, Ticket::file(id));
        let way = self.troubles.way(&record, key, now);
        let shared = Arc::clone(&self.shared);
        let is_large = self.may_be_too_large(topic, size.bytes, now);
        let Some(replay) = &mut self.replay else {
            return true;
        };
        let trial = match way {
            Way::File if !self.phase.is_trying() => {
                replay.return_one(id, topic);
                return true;
            }
            Way::File => None,
            Way::Kafka(partition) => {
                record.partition = partition;
                None
            }
            Way::Trial(target) => {
                record.partition = target.partition_of(&record);
                Some(target)
            }
        };
        if let Some(trial) = self.phase.trial() {
            trial.of = Some(Target {
                topic,
                partition: record.partition,
            });
        }
        if let Some(since) = replay.retimed.get(&topic)
            && since.elapsed() < RETIMED_MEMORY
        {
            record.timestamp = now_ms;
        }
        let alone = replay
            .alone
            .get_mut(&topic)
            .map(|left| *left -= 1)
            .is_some()
            || is_large
            // Others wait for its outcome, and nothing of its topic can overtake it: it may time out with
            // the retry window.
            || self.phase.is_trying()
            || trial.is_some();
        replay.alone.retain(|_, left| *left > 0);
        let producer = if alone {
            self.producers.alone()
        } else {
            self.producers.replay()
        };
        let name = || shared.topics.name(topic);
        let produced = producer.map_or(Err(RDKafkaErrorCode::Fail), |producer| {
            producer.produce_at(&record, name, key, value, ticket, now_ms)
        });
        match produced {
            Ok(()) => {
                if let Some(target) = trial {
                    self.troubles.begin_trial(target, ticket, now);
                }
                if let Some(replay) = &mut self.replay {
                    if replay.on_its_way.is_zero() {
                        replay.last_report = now;
                    }
                    replay.on_its_way.add(size);
                }
                true
            }
            Err(RDKafkaErrorCode::QueueFull) => false,
            Err(code) => {
                self.replay_failed(Fate {
                    id,
                    record,
                    code,
                    size,
                    alone,
                    fingerprint: fingerprint(key, value),
                });
                true
            }
        }
    }

    /// Serves the reports of the replay's own producer.
    pub(in super::super) fn poll_replay(&mut self) -> bool {
        let mut collected = Collected::default();
        let Some(producer) = self.producers.open_replay() else {
            return false;
        };
        let any = producer.poll(&mut collected);
        let fatal = producer.fatal_error();
        self.replay_delivered(&collected.replayed, collected.replayed_amount);
        for returned in collected.failed {
            self.replay_returned(&returned, false);
        }
        if let Some((code, text)) = fatal {
            let nothing_owed = self.replay.as_ref().is_none_or(|r| r.on_its_way.is_zero());
            if nothing_owed {
                warn!(
                    "librdkafka gave up replaying ({}: {text}); its producer is made anew",
                    describe(code)
                );
                self.producers.close_replay();
            } else if let Some(producer) = self.producers.open_replay() {
                producer.purge();
            }
        }
        any
    }

    pub(in super::super) fn replay_delivered(&mut self, ids: &[u64], amount: Amount) {
        for id in ids {
            if let Some(replay) = &mut self.replay {
                replay.verdicts.delivered.push(*id);
            }
            self.replay_was_answered(*id);
        }
        if ids.is_empty() {
            return;
        }
        if let Some(replay) = &mut self.replay {
            replay.on_its_way.subtract(amount);
            replay.last_report = Instant::now();
        }
        self.probing.succeeded();
    }

    /// A message from a file that was not delivered. `alone`: it was no part of a batch.
    pub(in super::super) fn replay_returned(&mut self, returned: &Returned, alone: bool) {
        let size = returned.amount();
        if let Some(replay) = &mut self.replay {
            replay.on_its_way.subtract(size);
            replay.last_report = Instant::now();
        }
        self.replay_failed(Fate {
            id: returned.ticket.number,
            record: returned.record,
            code: returned.code,
            size,
            alone: alone || size.bytes > self.producers.config().batch_size,
            fingerprint: fingerprint(returned.key(), returned.value()),
        });
    }

    fn replay_failed(&mut self, fate: Fate) {
        let Fate {
            id, record, code, ..
        } = fate;
        let topic = record.topic;
        let target = Target {
            topic,
            partition: record.partition,
        };
        let answered_lately = self.cluster.answered_lately();
        let can_be_smaller = self.producers.can_be_smaller();
        let outcome = classify(code);
        let Some(replay) = &mut self.replay else {
            return;
        };
        let verdict = decide(Case {
            outcome,
            origin: Origin::File,
            alone: fate.alone,
            is_old: is_old(record.timestamp),
            answered_lately: answered_lately && !self.phase.is_trying(),
            tries: replay.count_try(outcome, fate.alone, fate.fingerprint),
        });
        match verdict {
            Verdict::Smaller if can_be_smaller => {
                replay.smaller_batches = true;
                self.replay_goes_again(id, topic);
            }
            Verdict::Smaller | Verdict::Alone => {
                *replay.alone.entry(topic).or_default() += 1;
                self.replay_goes_again(id, topic);
            }
            Verdict::Reject | Verdict::Discard(_) => {
                replay.verdicts.rejected.push((id, describe(code)));
                if outcome == Outcome::TooLarge {
                    self.sizes.remember(topic, fate.size.bytes, Instant::now());
                }
                self.replay_was_answered(id);
            }
            Verdict::Retime => {
                if replay.retimed.insert(topic, Instant::now()).is_none() {
                    warn!(topic = %self.shared.topics.name(topic), "the topic does not take the time at which messages were queued; they get the time of now");
                }
                self.replay_goes_again(id, topic);
            }
            Verdict::Trouble(extent) => {
                replay.return_one(id, topic);
                // The time of now was not taken either, if it was that.
                replay.retimed.remove(&topic);
                let target = match extent {
                    Extent::Partition => target,
                    Extent::Topic => Target::topic(topic),
                };
                self.are_troubled(vec![(target, code)]);
                if self.phase.is_trying() {
                    self.recover();
                }
            }
            Verdict::Inquire if self.phase.is_trying() => {
                replay.return_one(id, topic);
                self.trial_failed(code);
            }
            Verdict::Inquire => {
                replay.suspects.push((target, code));
                replay.return_one(id, topic);
                self.inquire();
            }
            Verdict::File | Verdict::Rebuild => {
                self.troubles
                    .abandon_trial(Ticket::file(id), Instant::now());
                replay.return_one(id, topic);
            }
        }
    }

    /// Kafka has answered, and the message is to be sent in another way.
    fn replay_goes_again(&mut self, id: u64, topic: TopicId) {
        self.cluster.has_answered();
        self.troubles
            .abandon_trial(Ticket::file(id), Instant::now());
        let Some(replay) = &mut self.replay else {
            return;
        };
        replay.return_one(id, topic);
        if self.phase.is_trying() {
            self.recover();
        }
    }

    /// A producer's batch size is for life: it is replaced when it has nothing on its way.
    fn check_replay_batches(&mut self) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        if replay.smaller_batches && replay.on_its_way.is_zero() {
            replay.smaller_batches = false;
            self.producers.make_batches_smaller();
            self.producers.close_replay();
        }
    }

    /// What the partitioner was asked about is ready. Returns it if it is not from a file.
    pub(in super::super) fn partitioned_for_replay(&mut self, batch: Batch) -> Option<Batch> {
        match &mut self.replay {
            Some(replay) => match replay.at_partitioner.take() {
                Some(next_id) => {
                    replay.waiting.push_front(Numbered {
                        next_id,
                        batch,
                        partitioned: true,
                    });
                    None
                }
                None => Some(batch),
            },
            None => Some(batch),
        }
    }

    /// What the partitioner was asked about has no partition. Returns it if it is not from a file.
    pub(in super::super) fn unpartitioned_for_replay(&mut self, batch: Batch) -> Option<Batch> {
        match &mut self.replay {
            Some(replay) => match replay.at_partitioner.take() {
                Some(next_id) => {
                    replay.return_batch(next_id, &batch);
                    None
                }
                None => Some(batch),
            },
            None => Some(batch),
        }
    }
}
