//! From the replayer to librdkafka, and what came back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{error, warn};

use super::super::Worker;
use super::super::circuit::Way;
use super::super::reports::{Collected, Returned};
use super::{Numbered, REPLAYED};
use crate::kafka::{Outcome, Producer, Tuning, classify, describe};
use crate::message::{Amount, Batch, Record, TopicId, now_ms};

/// The part of the replay's share that is used while live messages are about.
const SHARE_BESIDE_LIVE: u64 = 32;
/// How long after a live message that is so.
const LIVE_MEMORY: Duration = Duration::from_secs(1);
/// A message that was queued so long ago may be too old for its topic, in milliseconds.
const OLD_MS: i64 = 60_000;
/// How long a topic is remembered that takes no old messages: it may have been a clock after all.
const RETIMED_MEMORY: Duration = Duration::from_secs(600);

impl Worker {
    /// Hands messages to librdkafka while live ones leave room.
    pub(super) fn hand_replayed_over(&mut self) -> bool {
        let mut busy = false;
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
            && self.purging.is_none()
            && self.shared.inbox.held().cost() <= self.shared.inbox.limits().low
            && self.replay_has_room()
    }

    /// Beside live messages, little is on its way at once: they would wait behind it at the broker.
    fn replay_has_room(&self) -> bool {
        let share = self.shared.inbox.limits().replay;
        let is_live = self
            .last_live
            .is_some_and(|last| last.elapsed() < LIVE_MEMORY);
        let room = if is_live {
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
        let (topic, sequence) = (record.topic, id | REPLAYED);
        let way = self.circuits.way(topic, now);
        let shared = Arc::clone(&self.shared);
        let is_large = self.may_be_too_large(topic, size.bytes);
        let Some(replay) = &mut self.replay else {
            return true;
        };
        if way == Way::File && replay.trial.is_none() {
            replay.return_one(id, topic);
            return true;
        }
        if let Some(trial) = &mut replay.trial {
            trial.topic = Some(topic);
        }
        if let Some(since) = replay.retimed.get(&topic)
            && since.elapsed() < RETIMED_MEMORY
        {
            record.timestamp = now_ms;
        }
        replay.last_used = Instant::now();
        let alone = replay
            .alone
            .get_mut(&topic)
            .map(|left| *left -= 1)
            .is_some()
            || is_large
            // Other files wait for its outcome, and nothing of its topic can overtake it: it may time
            // out with the retry window.
            || way == Way::Trial;
        replay.alone.retain(|_, left| *left > 0);
        let producer = if alone {
            self.solo()
        } else {
            self.replay_producer()
        };
        let produced = match producer {
            Some(producer) => {
                let name = || shared.topics.name(topic);
                producer.produce_at(&record, name, key, value, sequence, now_ms)
            }
            None => Err(RDKafkaErrorCode::Fail),
        };
        match produced {
            Ok(()) => {
                if way == Way::Trial {
                    self.circuits.begin_trial(topic, sequence);
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
                self.replay_failed(id, topic, code, size, alone);
                true
            }
        }
    }

    fn replay_producer(&mut self) -> Option<&mut Producer> {
        let replay = self.replay.as_mut()?;
        if replay.producer.is_none() {
            let inbox = Arc::clone(&self.shared.inbox);
            let tuning = match self.tuning {
                Tuning::Plain => Tuning::ReplayPlain,
                _ => Tuning::Replay,
            };
            match Producer::new(&self.config.kafka, tuning, self.redirect.clone(), inbox) {
                Ok(producer) => replay.producer = Some(producer),
                Err(error) => error!(%error, "fallback files can't be replayed"),
            }
        }
        replay.producer.as_mut()
    }

    pub(super) fn close_replay_producer(&mut self) {
        if let Some(producer) = self
            .replay
            .as_mut()
            .and_then(|replay| replay.producer.take())
        {
            // Destroying a client waits for its threads.
            tokio::task::spawn_blocking(move || drop(producer));
        }
    }

    /// Serves the reports of the replay's own producer.
    pub(in super::super) fn poll_replay(&mut self) -> bool {
        let mut collected = Collected::default();
        let producer = self
            .replay
            .as_ref()
            .and_then(|replay| replay.producer.as_ref());
        let Some(producer) = producer else {
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
                self.close_replay_producer();
            } else if let Some(producer) = self.replay.as_ref().and_then(|r| r.producer.as_ref()) {
                producer.purge();
            }
        }
        any
    }

    pub(in super::super) fn replay_delivered(&mut self, sequences: &[u64], amount: Amount) {
        for sequence in sequences {
            if let Some(replay) = &mut self.replay {
                replay.verdicts.delivered.push(sequence & !REPLAYED);
            }
            self.replay_was_answered(*sequence);
        }
        if sequences.is_empty() {
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
        let amount = returned.amount();
        if let Some(replay) = &mut self.replay {
            replay.on_its_way.subtract(amount);
            replay.last_report = Instant::now();
        }
        let alone = alone || amount.bytes > self.config.kafka.batch_size;
        let id = returned.sequence & !REPLAYED;
        if classify(returned.code) == Outcome::Time {
            return self.refused_for_its_time(id, &returned.record, returned.code);
        }
        self.replay_failed(id, returned.record.topic, returned.code, amount, alone);
    }

    fn replay_failed(
        &mut self,
        id: u64,
        topic: TopicId,
        code: RDKafkaErrorCode,
        size: Amount,
        alone: bool,
    ) {
        let outcome = classify(code);
        let lately = self.was_answered_lately();
        let Some(replay) = &mut self.replay else {
            return;
        };
        match outcome {
            Outcome::Refused | Outcome::TooLarge | Outcome::Neighbour if !alone => {
                *replay.alone.entry(topic).or_default() += 1;
                self.replay_goes_again(id, topic);
            }
            Outcome::Refused | Outcome::TooLarge | Outcome::Neighbour => {
                replay.verdicts.rejected.push((id, describe(code)));
                if outcome == Outcome::TooLarge {
                    self.remember_too_large(topic, size.bytes);
                }
                self.replay_was_answered(id | REPLAYED);
            }
            Outcome::Topic | Outcome::Time => {
                replay.return_one(id, topic);
                let was_trial = replay.trial.take().is_some();
                self.topic_is_troubled(topic, code);
                if was_trial {
                    self.recover();
                }
            }
            Outcome::Cluster if replay.trial.is_some() => {
                replay.return_one(id, topic);
                self.trial_failed(code);
            }
            Outcome::Cluster if lately => {
                replay.return_one(id, topic);
                self.topic_is_troubled(topic, code);
            }
            Outcome::Cluster => {
                replay.suspects.push((topic, code));
                replay.return_one(id, topic);
                self.inquire();
            }
            Outcome::Fatal | Outcome::Purged => {
                self.circuits.abandon_trial(id | REPLAYED, Instant::now());
                replay.return_one(id, topic);
            }
        }
    }

    /// Kafka has answered, and the message is to be sent in another way.
    fn replay_goes_again(&mut self, id: u64, topic: TopicId) {
        self.last_answer = Some(Instant::now());
        self.circuits.abandon_trial(id | REPLAYED, Instant::now());
        let Some(replay) = &mut self.replay else {
            return;
        };
        replay.return_one(id, topic);
        if replay.trial.take().is_some() {
            self.recover();
        }
    }

    /// Either the topic takes no old messages, or a clock is wrong: the time of now helps in the first
    /// case only.
    fn refused_for_its_time(&mut self, id: u64, record: &Record, code: RDKafkaErrorCode) {
        let topic = record.topic;
        let Some(replay) = &mut self.replay else {
            return;
        };
        if now_ms() - record.timestamp > OLD_MS {
            if replay.retimed.insert(topic, Instant::now()).is_none() {
                warn!(topic = %self.shared.topics.name(topic), "the topic does not take the time at which messages were queued; they get the time of now");
            }
            return self.replay_goes_again(id, topic);
        }
        // The time of now is not taken either.
        replay.retimed.remove(&topic);
        self.replay_failed(id, topic, code, Amount::default(), true);
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
