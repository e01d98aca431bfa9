//! What came back from librdkafka, and what follows from it.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{error, info, warn};

use super::replay::is_replayed;
use super::reports::{Collected, Returned};
use super::{AfterPurge, Purge, Worker};
use crate::kafka::{Outcome, Producer, Tuning, classify, describe};
use crate::logging::STATE;
use crate::message::{Batch, Reason, TopicId, now_ms};
use crate::statistics::{Place, State};

/// Longest time that librdkafka is given to hand everything back.
const PURGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a size that a topic has refused is remembered: its limit may be raised.
const TOO_LARGE_MEMORY: Duration = Duration::from_secs(60);
/// A producer that fails for good again within this time is not replaced at once.
const REBUILD_PAUSE: Duration = Duration::from_secs(10);

impl Worker {
    /// Serves delivery reports and errors. Returns whether there were any.
    pub(super) fn poll_reports(&mut self) -> bool {
        if self.is_past_reports() {
            return false;
        }
        let mut collected = Collected::default();
        let mut any = self.producer.poll(&mut collected);
        self.queue_full &= !any;
        any |= self.poll_solo(&mut collected);
        any |= self.poll_replay();
        self.delivered(&collected);
        for (code, text) in collected.errors {
            self.cluster_error(code, &text);
        }
        // After a fatal error, what a report says of its message is a consequence.
        let is_fatal = !collected.failed.is_empty() && self.producer.fatal_error().is_some();
        for returned in collected.failed {
            self.in_flight.done(returned.sequence);
            if is_fatal {
                self.returned.push(returned);
                self.rebuild();
            } else {
                self.not_delivered(returned);
            }
        }
        if self.purging.is_none() {
            self.settle_returned();
        }
        any
    }

    /// Messages that went alone: live ones join `collected`, those from files have been dealt with.
    fn poll_solo(&mut self, collected: &mut Collected) -> bool {
        let Some(solo) = &self.solo else {
            return false;
        };
        let mut alone = Collected::default();
        let any = solo.poll(&mut alone);
        collected.delivered.add(alone.delivered);
        collected.sequences.append(&mut alone.sequences);
        self.replay_delivered(&alone.replayed, alone.replayed_amount);
        for returned in alone.failed {
            if is_replayed(returned.sequence) {
                self.replay_returned(&returned, true);
                continue;
            }
            self.in_flight.done(returned.sequence);
            match classify(returned.code) {
                Outcome::TooLarge => self.too_large(&returned),
                Outcome::Refused => self.refused(&returned),
                _ => self.not_delivered(returned),
            }
        }
        any
    }

    fn delivered(&mut self, collected: &Collected) {
        if collected.delivered.is_zero() {
            return;
        }
        let now = Instant::now();
        self.last_answer = Some(now);
        let mut latencies = Vec::new();
        self.in_flight
            .all_done(&collected.sequences, now, |time, messages| {
                latencies.push((time, messages));
            });
        self.shared
            .statistics
            .delivered(collected.delivered, &latencies);
        if self.circuits.has_trials() {
            for sequence in &collected.sequences {
                self.topic_answered(*sequence);
            }
        }
        if self.state == State::Connecting {
            self.recover();
        }
        self.probing.succeeded();
    }

    /// An answer about a message: if it was its topic's trial, the trouble is over.
    pub(super) fn topic_answered(&mut self, sequence: u64) {
        if let Some(topic) = self.circuits.answered(sequence, Instant::now()) {
            info!(target: STATE, "topic {} takes messages again", self.shared.topics.name(topic));
            self.seal();
        }
    }

    /// One message failed. What has to wait for a decision is kept in `returned`.
    fn not_delivered(&mut self, returned: Returned) {
        match classify(returned.code) {
            // What is wrong shows when it goes alone, or later, if its topic is in trouble anyway.
            Outcome::Refused if self.circuits.is_open(returned.record.topic) => {
                self.returned.push(returned);
            }
            Outcome::Refused => self.send_alone(returned),
            // Larger than a batch, it can only have been alone in its own.
            Outcome::TooLarge if returned.bytes.len() as u64 > self.config.kafka.batch_size => {
                self.too_large(&returned)
            }
            Outcome::TooLarge | Outcome::Neighbour => {
                self.batch_was_too_large();
                self.send_alone(returned);
            }
            Outcome::Topic | Outcome::Time => {
                self.topic_is_troubled(returned.record.topic, returned.code);
                self.returned.push(returned);
            }
            Outcome::Cluster => {
                if self.was_answered_lately() {
                    self.topic_is_troubled(returned.record.topic, returned.code);
                } else {
                    self.inquire();
                }
                self.returned.push(returned);
            }
            Outcome::Fatal => {
                self.returned.push(returned);
                self.rebuild();
            }
            Outcome::Purged => self.returned.push(returned),
        }
    }

    fn refused(&mut self, returned: &Returned) {
        self.topic_answered(returned.sequence);
        self.discard_returned(returned, Reason::Refused);
    }

    /// Kafka will never take it.
    fn discard_returned(&mut self, returned: &Returned, reason: Reason) {
        let (topic, why) = (returned.record.topic, describe(returned.code));
        if self.config.fallback.keep_refused {
            let mut batch = Batch::default();
            batch.push(returned.record, returned.key(), returned.value());
            let writer = &self.writer;
            return writer.keep_refused(batch, Place::Flight, reason, why);
        }
        self.discard(Place::Flight, reason, returned.amount(), topic, &why);
    }

    fn too_large(&mut self, returned: &Returned) {
        self.topic_answered(returned.sequence);
        let topic = returned.record.topic;
        self.remember_too_large(topic, returned.bytes.len() as u64);
        self.discard_returned(returned, Reason::TooLarge);
    }

    pub(super) fn remember_too_large(&mut self, topic: TopicId, size: u64) {
        let least = self
            .too_large
            .get(&topic)
            .map_or(size, |(least, _)| size.min(*least));
        self.too_large.insert(topic, (least, Instant::now()));
    }

    /// Whether a message of this size was refused by this topic lately.
    pub(super) fn may_be_too_large(&self, topic: TopicId, size: u64) -> bool {
        // With compression, size alone does not decide.
        !self.too_large.is_empty()
            && !self.config.kafka.compresses
            && self
                .too_large
                .get(&topic)
                .is_some_and(|(least, since)| size >= *least && since.elapsed() < TOO_LARGE_MEMORY)
    }

    /// The producer that sends each message alone.
    pub(super) fn solo(&mut self) -> Option<&mut Producer> {
        if self.solo.is_none() {
            let inbox = std::sync::Arc::clone(&self.shared.inbox);
            match Producer::new(
                &self.config.kafka,
                Tuning::Solo,
                self.redirect.clone(),
                inbox,
            ) {
                Ok(solo) => self.solo = Some(solo),
                Err(error) => error!(%error, "messages can't be sent alone"),
            }
        }
        self.solo.as_mut()
    }

    /// A batch was refused; which of its messages is at fault shows when each goes alone.
    fn send_alone(&mut self, returned: Returned) {
        let sequence = self.in_flight.next_sequence();
        let topic = returned.record.topic;
        let name = self.shared.topics.name(topic);
        let sent = self.solo().map(|solo| {
            let (key, value) = (returned.key(), returned.value());
            solo.produce(&returned.record, || name, key, value, sequence, now_ms())
        });
        match sent {
            Some(Ok(())) => {
                self.in_flight.sent(Instant::now());
                self.circuits.resent(returned.sequence, sequence);
            }
            Some(Err(RDKafkaErrorCode::MessageSizeTooLarge)) => self.too_large(&returned),
            _ => self.returned.push(returned),
        }
    }

    fn cluster_error(&mut self, code: RDKafkaErrorCode, text: &str) {
        self.shared
            .statistics
            .error(format!("{}: {text}", describe(code)));
        let refuses_idempotence = matches!(
            code,
            RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::UnsupportedVersion
        );
        if refuses_idempotence && self.tuning == Tuning::Standard && self.config.kafka.idempotent {
            info!(target: STATE,
                "the cluster takes no idempotent producer ({text}); going on with an ordinary one, one request at a time"
            );
            self.tuning = Tuning::Plain;
            self.rebuild();
        } else if self.producer.fatal_error().is_some() {
            self.rebuild();
        } else {
            warn!("Kafka: {text}");
        }
    }

    /// Takes everything back from librdkafka.
    pub(super) fn purge(&mut self, then: AfterPurge) {
        self.producer.purge();
        if let Some(solo) = &self.solo {
            solo.purge();
        }
        self.circuits.abandon_trials(Instant::now());
        self.purging = Some(Purge {
            until: Instant::now() + PURGE_TIMEOUT,
            then,
        });
        self.stop_deciding();
        self.give_up_partitioning();
    }

    /// The producer is of no use any more: a new one gets what this one has.
    pub(super) fn rebuild(&mut self) {
        if self.purging.is_some() {
            return;
        }
        if let Some((code, text)) = self.producer.fatal_error() {
            let why = format!("{}: {text}", describe(code));
            warn!(target: STATE, "librdkafka gave up ({why}); the producer is made anew");
            self.shared.statistics.error(why);
        }
        if self
            .last_rebuild
            .is_some_and(|last| last.elapsed() < REBUILD_PAUSE)
        {
            self.fall_back("the producer failed again");
            return;
        }
        self.purge(AfterPurge::Rebuild);
    }

    pub(super) fn check_purge(&mut self) {
        let Some(Purge { until, then }) = self.purging else {
            return;
        };
        if !self.in_flight.is_empty() && Instant::now() < until {
            return;
        }
        self.purging = None;
        if then == AfterPurge::Rebuild {
            // A producer that still owes reports is kept, and tried again when Kafka is back.
            if !self.in_flight.is_empty() {
                self.fall_back("librdkafka does not hand its messages back");
                return;
            }
            if !self.replace_producer() {
                self.fall_back("no producer could be made");
                return;
            }
        }
        if then == AfterPurge::Rebuild
            && matches!(self.state, State::Connecting | State::Publishing)
        {
            let batch = self.batch_of_returned();
            self.shared
                .statistics
                .transfer(Place::Flight, Place::Worker, batch.remaining());
            self.held_back.push_front(batch);
        } else {
            self.settle_returned();
        }
    }

    /// Returns whether there is a new one.
    pub(super) fn replace_producer(&mut self) -> bool {
        self.last_rebuild = Some(Instant::now());
        let inbox = std::sync::Arc::clone(&self.shared.inbox);
        match Producer::new(
            &self.config.kafka,
            self.tuning,
            self.redirect.clone(),
            inbox,
        ) {
            Ok(producer) => {
                let old = std::mem::replace(&mut self.producer, producer);
                // Destroying a client waits for its threads.
                tokio::task::spawn_blocking(move || drop(old));
                true
            }
            Err(error) => {
                error!(%error, "the producer could not be made anew");
                self.shared.statistics.error(error.to_string());
                false
            }
        }
    }

    /// What was handed back goes to file, in the order in which it was queued.
    pub(super) fn settle_returned(&mut self) {
        if self.returned.is_empty() || self.is_deciding() {
            return;
        }
        let batch = self.batch_of_returned();
        self.writer.append(batch, Place::Flight);
    }

    fn batch_of_returned(&mut self) -> Batch {
        self.returned.sort_by_key(|returned| returned.sequence);
        let mut batch = Batch::default();
        for returned in self.returned.drain(..) {
            batch.push(returned.record, returned.key(), returned.value());
        }
        batch
    }

    pub(super) fn returned_topics(&self) -> Vec<(TopicId, RDKafkaErrorCode)> {
        let mut topics: Vec<(TopicId, RDKafkaErrorCode)> = Vec::new();
        for returned in &self.returned {
            if !topics
                .iter()
                .any(|(topic, _)| *topic == returned.record.topic)
            {
                topics.push((returned.record.topic, returned.code));
            }
        }
        topics
    }
}
