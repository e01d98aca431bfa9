//! From the inbox to Kafka or to file.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

use super::taking::AfterTaking;
use super::troubles::{Target, Way};
use super::{Held, Worker};
use crate::inbox::Limits;
use crate::kafka::{Outcome, Ticket, classify, describe};
use crate::message::{Amount, Batch, Content, Reason, Record, Traits, now_ms};
use crate::statistics::Place;

/// How long a new client waits for what is on its way, where that may be for ever.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a turn may take with topics that librdkafka hears of for the first time: with thousands of
/// them it is busy, and holds up who tells it of more.
const TURN: Duration = Duration::from_millis(50);

impl Worker {
    /// Moves on what the inbox has. Returns whether there was anything to move.
    pub(super) fn route(&mut self) -> bool {
        let mut busy = false;
        let Limits { spill, .. } = self.shared.inbox.limits();
        while self.phase.is_taking() && self.spill(spill) {
            busy = true;
        }
        while !self.phase.is_taking() {
            if self.phase.is_away() || self.to_file_at_the_end() {
                let Some(held) = self.next_batch() else {
                    break;
                };
                self.writer.append(held.batch, Place::Worker);
            } else if self.is_blocked() {
                if !self.spill(spill) {
                    break;
                }
            } else {
                if self.gathers_for().is_some() {
                    break;
                }
                let Some(held) = self.next_batch() else {
                    break;
                };
                self.connect();
                if self.partitioning.is_some() {
                    self.partition(held.batch);
                } else if !self.hand_over(held) {
                    return true;
                }
            }
            busy = true;
        }
        busy
    }

    /// Whether what is in the inbox has to wait: for room in librdkafka, or behind a batch that is still
    /// with the partitioner.
    fn is_blocked(&self) -> bool {
        !self.phase.is_open()
            || self.shared.statistics.flight().cost() >= self.flight_limit()
            || self.is_partitioning()
    }

    /// For how long the messages in the inbox may still wait for others (`batch`); not when somebody
    /// waits for them.
    pub(super) fn gathers_for(&self) -> Option<Duration> {
        let gathering = self.config.gathering?;
        let waits = self.phase.is_publishing()
            && self.ending.is_none()
            && self.held_back.is_empty()
            && !self.phase.is_taking()
            && !self.waiters.anybody_for_room();
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
    pub(super) fn next_batch(&mut self) -> Option<Held> {
        if let Some(held) = self.held_back.pop_front() {
            return Some(held);
        }
        let batch = self.shared.inbox.take()?;
        self.waiters.has_work();
        Some(Held { batch, since: None })
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
        self.waiters.has_work();
        let messages = batch.remaining().messages;
        warn!(
            messages,
            "memory is full: messages spill to the fallback file"
        );
        self.shared.statistics.spilled(messages);
        self.writer.append(batch, Place::Worker);
        true
    }

    /// What librdkafka may hold of the live messages.
    fn flight_limit(&self) -> u64 {
        let round_trip = self.cluster.round_trip();
        self.shared.inbox.limits().flight_for(round_trip)
    }

    /// Hands a batch to librdkafka, message by message, as far as there is room. Returns whether this
    /// turn has time for another.
    pub(super) fn hand_over(&mut self, held: Held) -> bool {
        let Held { mut batch, since } = held;
        let (now, now_ms) = (Instant::now(), now_ms());
        let room = self
            .flight_limit()
            .saturating_sub(self.shared.statistics.flight().cost());
        let topics = self.producers.main_topic_count();
        let mut has_time = true;
        let mut sent = Amount::default();
        let mut to_file = Batch::default();
        while let Some((record, content)) = batch.peek() {
            if sent.cost() >= room && !sent.is_zero() {
                break;
            }
            let queued = !record.traits.has(Traits::TIME_GIVEN);
            let paused = || self.pause.filter(|_| queued)?.since(record.timestamp, now);
            let since = since.or_else(paused).unwrap_or(now);
            match self.hand_one_over(*record, content, since, (now, now_ms)) {
                Handed::Sent => sent.add(content.amount()),
                Handed::ToFile(record) => to_file.push(record, content),
                Handed::Discarded => {}
                Handed::Later => break,
            }
            batch.advance();
            let topics_now = self.producers.main_topic_count();
            if topics_now > topics && now.elapsed() > TURN {
                has_time = false;
                break;
            }
        }
        self.shared
            .statistics
            .transfer(Place::Worker, Place::Flight, sent);
        self.writer.append(to_file, Place::Worker);
        if batch.is_empty() {
            self.shared.inbox.recycle(batch);
        } else {
            self.held_back.push_front(Held { batch, since });
        }
        has_time
    }

    /// Hands over one message, which has been waiting since then.
    fn hand_one_over(
        &mut self,
        mut record: Record,
        content: Content<'_>,
        since: Instant,
        (now, now_ms): (Instant, i64),
    ) -> Handed {
        let trial = match self.troubles.way(&record, content.key, now) {
            Way::File => return Handed::ToFile(record),
            Way::Kafka(partition) => {
                record.partition = partition;
                record.partition = self.spreading.partition(&record, content.key, now_ms);
                None
            }
            Way::Trial(target) => {
                record.partition = target.partition_of(&record);
                Some(target)
            }
        };
        let topic = record.topic;
        let size = content.amount();
        let ticket = Ticket::live(self.flight.next());
        let alone = trial.is_some() || self.sizes.was_refused(topic, size.bytes, now);
        let producer = if alone {
            self.producers.alone()
        } else {
            self.producers.main()
        };
        let name = || self.shared.topics.name(topic);
        let produced = producer.map_or(Err(RDKafkaErrorCode::Fail), |producer| {
            producer.produce(&record, name, content, ticket, now_ms)
        });
        match produced {
            Ok(()) => {
                if alone {
                    self.flight.sent_alone(&record, now);
                } else {
                    self.flight.sent(&record, since, now);
                }
                if let Some(target) = trial {
                    self.troubles.begin_trial(target, ticket, now);
                }
                Handed::Sent
            }
            Err(RDKafkaErrorCode::QueueFull) => {
                self.phase.becomes_full();
                Handed::Later
            }
            Err(code) => self.not_handed_over(record, size, code),
        }
    }

    /// A producer's batch size and its topics are for life, so it is replaced: when it has nothing on its
    /// way, or messages could arrive twice. One that never has nothing on its way is not waited for.
    pub(super) fn check_renewal(&mut self) {
        let Some(since) = self.phase.renewing_since() else {
            return;
        };
        if self.flight.main.is_empty() {
            self.phase.end_renewing();
            self.producers.close_main();
        } else if since.elapsed() > self.config.retry_window.unwrap_or(RENEWAL_PATIENCE) {
            self.take_back(AfterTaking::Rebuild);
        }
    }

    /// Librdkafka refused a message at once.
    fn not_handed_over(&mut self, record: Record, size: Amount, code: RDKafkaErrorCode) -> Handed {
        let target = Target::topic(record.topic);
        match classify(code) {
            Outcome::TooLarge => {
                self.discard(
                    Place::Worker,
                    Reason::TooLarge,
                    size,
                    (record.topic, record.waiter),
                    "more than message.max.bytes",
                );
                return Handed::Discarded;
            }
            Outcome::Fatal => {
                self.rebuild();
                if self.phase.is_taking() {
                    return Handed::Later;
                }
            }
            Outcome::Topic | Outcome::Time => self.are_troubled(vec![(target, code)]),
            // The topic has fewer partitions than it had.
            Outcome::Partition => self.are_troubled(vec![(
                Target {
                    partition: record.partition,
                    ..target
                },
                code,
            )]),
            Outcome::Refused
            | Outcome::Unexplained
            | Outcome::Neighbour
            | Outcome::Silence
            | Outcome::Purged => {
                let why = describe(code);
                warn!("librdkafka did not take a message ({why}); it goes to the fallback file");
                self.shared.statistics.error(why);
            }
        }
        Handed::ToFile(record)
    }
}

/// What became of a message that was to be handed over.
enum Handed {
    Sent,
    Discarded,
    ToFile(Record),
    /// It stays at the head of its batch.
    Later,
}
