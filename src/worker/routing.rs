//! From the inbox to Kafka or to file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

use super::Worker;
use super::circuit::Way;
use crate::inbox::Limits;
use crate::kafka::{Outcome, classify, describe};
use crate::logging::STATE;
use crate::message::{Amount, Batch, Reason, Record, TopicId, now_ms};
use crate::statistics::{Place, State};

impl Worker {
    /// Moves on what the inbox has. Returns whether there was anything to move.
    pub(super) fn route(&mut self) -> bool {
        let mut busy = false;
        let Limits { spill, .. } = self.shared.inbox.limits();
        while self.purging.is_some() && self.spill(spill) {
            busy = true;
        }
        while self.purging.is_none() {
            if self.state == State::FallingBack || self.to_file_at_the_end() {
                let Some(batch) = self.next_batch() else {
                    break;
                };
                self.writer.append(batch, Place::Worker);
            } else if self.queue_full
                || self.smaller_batches
                || self.shared.statistics.flight().cost() >= self.shared.inbox.limits().flight
            {
                if !self.spill(spill) {
                    break;
                }
            } else {
                if self
                    .partitioning
                    .as_ref()
                    .is_some_and(|stage| !stage.is_idle())
                {
                    // Still with the partitioner, and so ahead of what is in the inbox.
                    if !self.spill(spill) {
                        break;
                    }
                    busy = true;
                    continue;
                }
                if self.gathers_for().is_some() {
                    break;
                }
                let Some(batch) = self.next_batch() else {
                    break;
                };
                self.connect();
                match self.partitioning {
                    Some(_) => self.partition(batch),
                    None => self.hand_over(batch),
                }
            }
            busy = true;
        }
        busy
    }

    /// For how long the messages in the inbox may still wait for others (`batch`); not when somebody
    /// waits for them.
    pub(super) fn gathers_for(&self) -> Option<Duration> {
        let gathering = self.config.gathering?;
        let waits = self.state == State::Publishing
            && self.ending.is_none()
            && self.held_back.is_empty()
            && self.purging.is_none()
            && self.drained_waiters.is_empty();
        if !waits {
            return None;
        }
        let waited = self.shared.inbox.gathering_for()?;
        gathering
            .time
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
    }

    /// The oldest batch that was not handed on yet.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        if let Some(batch) = self.held_back.pop_front() {
            return Some(batch);
        }
        let batch = self.shared.inbox.take()?;
        self.told_idle = false;
        Some(batch)
    }

    /// When librdkafka's share of the memory is used up and the inbox is at its mark, its oldest batch
    /// goes to file. Returns whether one did.
    fn spill(&mut self, mark: u64) -> bool {
        let inbox = &self.shared.inbox;
        if inbox.held().cost() < mark {
            return false;
        }
        let Some(batch) = inbox.take() else {
            return false;
        };
        self.told_idle = false;
        let messages = batch.remaining().messages;
        warn!(
            messages,
            "memory is full: messages spill to the fallback file"
        );
        self.shared.statistics.spilled(messages);
        self.writer.append(batch, Place::Worker);
        true
    }

    /// Hands a batch to librdkafka, message by message, as far as there is room.
    pub(super) fn hand_over(&mut self, mut batch: Batch) {
        let (now, now_ms) = (Instant::now(), now_ms());
        let room = self
            .shared
            .inbox
            .limits()
            .flight
            .saturating_sub(self.shared.statistics.flight().cost());
        let shared = Arc::clone(&self.shared);
        let mut sent = Amount::default();
        let mut to_file = Batch::default();
        while let Some((record, key, value)) = batch.peek() {
            if sent.cost() >= room && !sent.is_zero() {
                break;
            }
            let size = Amount::of_one(key.len() + value.len());
            let way = self.circuits.way(record.topic, now);
            if way == Way::File {
                to_file.push(*record, key, value);
                batch.advance();
                continue;
            }
            let sequence = self.in_flight.next_sequence();
            let (record, topic) = (*record, record.topic);
            let name = || shared.topics.name(topic);
            let alone = self.may_be_too_large(topic, (key.len() + value.len()) as u64);
            let producer = match alone.then(|| self.solo()).flatten() {
                Some(solo) => solo,
                None => &mut self.producer,
            };
            match producer.produce(&record, name, key, value, sequence, now_ms) {
                Ok(()) => {
                    self.in_flight.sent(now);
                    if way == Way::Trial {
                        self.circuits.begin_trial(topic, sequence);
                    }
                    sent.add(size);
                    batch.advance();
                }
                Err(RDKafkaErrorCode::QueueFull) => {
                    self.queue_full = true;
                    break;
                }
                Err(code) => {
                    match self.not_handed_over(record, size, code) {
                        Handed::ToFile => to_file.push(record, key, value),
                        Handed::Discarded => {}
                        Handed::Later => break,
                    }
                    batch.advance();
                }
            }
        }
        if !sent.is_zero() {
            self.last_live = Some(now);
        }
        self.shared
            .statistics
            .transfer(Place::Worker, Place::Flight, sent);
        self.writer.append(to_file, Place::Worker);
        if batch.is_empty() {
            self.shared.inbox.recycle(batch);
        } else {
            self.held_back.push_front(batch);
        }
    }

    /// Librdkafka refused a message at once.
    fn not_handed_over(&mut self, record: Record, size: Amount, code: RDKafkaErrorCode) -> Handed {
        match classify(code) {
            Outcome::TooLarge => {
                self.discard(
                    Place::Worker,
                    Reason::TooLarge,
                    size,
                    record.topic,
                    "more than message.max.bytes",
                );
                Handed::Discarded
            }
            Outcome::Fatal => {
                self.rebuild();
                if self.purging.is_some() {
                    Handed::Later
                } else {
                    Handed::ToFile
                }
            }
            Outcome::Topic | Outcome::Time => {
                self.topic_is_troubled(record.topic, code);
                Handed::ToFile
            }
            Outcome::Refused | Outcome::Neighbour | Outcome::Cluster | Outcome::Purged => {
                let why = describe(code);
                warn!("librdkafka did not take a message ({why}); it goes to the fallback file");
                self.shared.statistics.error(why);
                Handed::ToFile
            }
        }
    }

    pub(super) fn topic_is_troubled(&mut self, topic: TopicId, code: RDKafkaErrorCode) {
        let (name, why) = (self.shared.topics.name(topic), describe(code));
        self.shared.statistics.error(format!("topic {name}: {why}"));
        if self.circuits.trip(topic, Instant::now()) {
            warn!(target: STATE,
                "topic {name} takes no messages ({why}); they go to the fallback file, other topics flow on"
            );
        }
    }
}

/// What became of a message that librdkafka refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    Discarded,
    ToFile,
    /// It stays at the head of its batch.
    Later,
}
