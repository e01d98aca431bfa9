//! Over a long way, with many partitions, one client's requests are too few: messages are spread over a
//! fleet of clients, by their partitions, which are chosen here for that.
//!
//! A key stays with its partition, and a partition with its client, so order is kept. That it is so also
//! when partitions are learned of, librdkafka gives back what it has not sent before they are used, and
//! what it has is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Worker;
use super::signals::Signal;
use super::taking::AfterTaking;
use tracing::debug;

use crate::kafka::{PartitionInfo, Partitioner, describe_topics};
use crate::message::{ANY_PARTITION, Record, TopicId};

/// Clients of a fleet.
pub(super) const FLEET: usize = 8;
/// Requests that an idempotent client of librdkafka has on their way to a broker, at most.
const REQUESTS: u32 = 5;
/// A way that is shorter is not long.
const LONG_WAY: Duration = Duration::from_millis(30);
/// When each partition's turn comes no sooner than this, messages are spread.
const LONG_TURN: Duration = Duration::from_millis(500);
/// Keyless messages stay so long with one partition, for the sake of batches.
const STICKY_MS: i64 = 10;
/// Least time between two beginnings.
const PAUSE: Duration = Duration::from_secs(5);
/// The same for the clients that follow when messages are overdue.
const SUCCESSOR_PAUSE: Duration = Duration::from_secs(2);
/// With so many answers for metadata, one after the other, a client has found its brokers, is connected to them, and has
/// a producer id.
const ANSWERS: u32 = 3;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Clients that were prepared and not needed within this time are closed.
const UNUSED: Duration = Duration::from_secs(60);
/// How often it is looked whether it is time to begin.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Spreading {
    partitioner: Partitioner,
    is_on: bool,
    last_begin: Option<Instant>,
    last_look: Option<Instant>,
    /// How many partitions topics have.
    known: HashMap<TopicId, i32>,
    /// The same, as messages that are on their way were given their partitions.
    used: HashMap<TopicId, i32>,
}

impl Spreading {
    pub(super) fn new(partitioner: Partitioner) -> Self {
        Spreading {
            partitioner,
            is_on: false,
            last_begin: None,
            last_look: None,
            known: HashMap::new(),
            used: HashMap::new(),
        }
    }

    pub(super) fn learn(&mut self, topics: &[(TopicId, Vec<PartitionInfo>)]) {
        for (topic, partitions) in topics {
            if let Ok(count) = i32::try_from(partitions.len())
                && count > 0
            {
                self.known.insert(*topic, count);
            }
        }
    }

    /// Forgets the other topics.
    pub(super) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.known.retain(|topic, _| is_known(*topic));
        self.used.retain(|topic, _| is_known(*topic));
    }

    /// The partition of a message that has none yet; [`ANY_PARTITION`] where it need not be known.
    pub(super) fn partition(&self, record: &Record, key: &[u8], now_ms: i64) -> i32 {
        if !self.is_on || record.partition != ANY_PARTITION {
            return record.partition;
        }
        let Some(count) = self.used.get(&record.topic).copied() else {
            return ANY_PARTITION;
        };
        let by_key = if record.is_keyless() {
            None
        } else {
            self.partitioner.partition(key, count)
        };
        by_key.unwrap_or_else(|| {
            let turn = (now_ms / STICKY_MS).wrapping_add(i64::from(record.topic.0));
            let mixed = (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            (mixed % u64::from(count.unsigned_abs())) as i32
        })
    }

    /// How long it takes until each partition of these topics has had its turn at one of so many brokers.
    fn turn(&self, topics: &[TopicId], brokers: usize, round_trip: Duration) -> Duration {
        let counts = topics.iter().filter_map(|topic| self.known.get(topic));
        let partitions = counts.sum::<i32>().unsigned_abs();
        let at_one = partitions / u32::try_from(brokers.max(1)).unwrap_or(u32::MAX);
        round_trip * at_one / REQUESTS
    }

    fn has_news(&self, topics: &[TopicId]) -> bool {
        let mut topics = topics.iter();
        topics.any(|topic| {
            let known = self.known.get(topic);
            known.is_some() && known != self.used.get(topic)
        })
    }

    /// From here on messages are given the partitions that are known.
    fn begin(&mut self) {
        self.is_on = true;
        self.used.clone_from(&self.known);
    }
}

impl Worker {
    /// Whether the number of partitions of topics has to be known, because the way is long.
    pub(super) fn is_far(&self) -> bool {
        self.cluster.round_trip().is_some_and(|it| it >= LONG_WAY)
    }

    /// Topics with messages on their way whose number of partitions is not known.
    pub(super) fn unknown_far_topics(&self, most: usize) -> Vec<TopicId> {
        if !self.is_far() {
            return Vec::new();
        }
        let mut topics = self.flight.topics(usize::MAX);
        topics.retain(|topic| !self.spreading.known.contains_key(topic));
        topics.truncate(most);
        topics
    }

    pub(super) fn check_spreading(&mut self, now: Instant) {
        let was_lately = |last: Instant| now - last < PAUSE;
        if self.spreading.known.is_empty()
            || !self.phase.is_publishing()
            || !self.phase.is_open()
            || self.partitioning.is_some()
            || self.spreading.last_begin.is_some_and(was_lately)
            || self
                .spreading
                .last_look
                .is_some_and(|last| now - last < LOOK)
        {
            return;
        }
        self.spreading.last_look = Some(now);
        if self
            .spreading
            .last_begin
            .is_some_and(|last| now - last > UNUSED)
        {
            self.producers.close_prepared();
        }
        let topics = self.flight.topics(usize::MAX);
        if self.is_spreading_due(&topics) {
            self.spreading.last_begin = Some(now);
            debug!(round_trip = ?self.cluster.round_trip(), "a fleet of clients is prepared");
            self.prepare_fleet(&topics, FLEET);
        }
    }

    fn is_spreading_due(&self, topics: &[TopicId]) -> bool {
        let Some(round_trip) = self.cluster.round_trip().filter(|it| *it >= LONG_WAY) else {
            return false;
        };
        if self.spreading.is_on {
            return self.spreading.has_news(topics);
        }
        let brokers = self.producers.broker_count();
        self.spreading.turn(topics, brokers, round_trip) >= LONG_TURN
    }

    /// What is overdue will be taken back from the main client, which is of no use after that.
    pub(super) fn prepare_successor(&mut self, now: Instant) {
        let was_lately = |last: Instant| now - last < SUCCESSOR_PAUSE;
        if self.producers.is_prepared()
            || !self.is_far()
            || self.spreading.last_begin.is_some_and(was_lately)
        {
            return;
        }
        self.spreading.last_begin = Some(now);
        let size = self.producers.fleet_size();
        self.prepare_fleet(&self.flight.topics(1), size);
    }

    /// The clients connect, and get what an idempotent one needs, before they are used.
    pub(super) fn prepare_fleet(&mut self, topics: &[TopicId], size: usize) {
        let Some(topic) = topics.first().copied() else {
            return;
        };
        self.producers.set_fleet_size(size);
        let clients = self.producers.prepare_main();
        // The others follow soon.
        let enough = clients.len() / 2 + 1;
        let ready = Arc::new(AtomicUsize::new(0));
        for client in clients {
            let (send, ready) = (self.signals.sender(), Arc::clone(&ready));
            let names = self.shared.topics.clone();
            tokio::task::spawn_blocking(move || {
                for _ in 0..ANSWERS {
                    let topic = vec![(topic, names.name(topic))];
                    // What it says is of no interest here.
                    let _ = describe_topics(&client, topic, ANSWER_TIMEOUT);
                }
                if ready.fetch_add(1, Ordering::AcqRel) + 1 == enough {
                    send(Signal::FleetIsReady);
                }
            });
        }
    }

    pub(super) fn fleet_is_ready(&mut self) {
        debug!("the fleet of clients is ready");
        // What was guessed may be known by now.
        let is_due = self.is_spreading_due(&self.flight.topics(usize::MAX));
        if !self.producers.is_prepared() {
            return self.successor_is_there();
        }
        // Overdue messages are with clients that are not connected yet.
        let is_wanted = self.producers.is_main_stuck() || !self.waiting_for_successor.is_empty();
        if (is_due || is_wanted) && self.phase.is_publishing() && self.phase.is_open() {
            self.take_back(AfterTaking::Spread);
        } else if !self.spreading.is_on && self.producers.fleet_size() > 1 {
            self.producers.close_prepared();
            self.producers.set_fleet_size(1);
        }
        if !self.phase.is_taking() {
            self.successor_is_there();
        }
    }

    /// Nothing is on its way.
    pub(super) fn use_prepared(&mut self) {
        self.producers.use_prepared();
        if self.producers.fleet_size() > 1 {
            self.spreading.begin();
            self.replay.renew();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Traits;
    use crate::options::{Config, Value};

    fn spreading() -> Spreading {
        let options = Value::Object(vec![(
            "connectionString".into(),
            Value::String("localhost:9092".into()),
        )]);
        let config = Config::read(&options, &|_| None).unwrap();
        Spreading::new(Partitioner::of(&config.kafka))
    }

    fn of(partitions: usize) -> Vec<PartitionInfo> {
        let one = |id| PartitionInfo {
            id,
            leader: 1,
            replicas: vec![1],
            isr: vec![1],
        };
        (0..partitions as i32).map(one).collect()
    }

    fn record(topic: TopicId, keyless: bool) -> Record {
        Record {
            traits: Traits::default().with_if(Traits::KEYLESS, keyless),
            ..Record::of(topic, 0)
        }
    }

    const A: TopicId = TopicId(0);
    const B: TopicId = TopicId(1);

    #[test]
    fn what_is_learned_is_used_only_when_nothing_is_on_its_way() {
        let mut spreading = spreading();
        spreading.learn(&[(A, of(6)), (B, of(0))]);
        let at = |spreading: &Spreading, key: &[u8]| spreading.partition(&record(A, false), key, 0);
        assert_eq!(at(&spreading, b"key"), ANY_PARTITION);
        spreading.begin();
        let first = at(&spreading, b"key");
        assert!((0..6).contains(&first));
        assert_eq!(
            spreading.partition(&record(B, false), b"key", 0),
            ANY_PARTITION
        );
        assert!(!spreading.has_news(&[A, B]));

        spreading.learn(&[(A, of(1)), (B, of(2))]);
        assert_eq!(at(&spreading, b"key"), first);
        assert!(spreading.has_news(&[A]) && spreading.has_news(&[B]));
        spreading.begin();
        assert_eq!(at(&spreading, b"key"), 0);
    }

    #[test]
    fn keyless_messages_go_to_all_partitions_a_while_to_each() {
        let mut spreading = spreading();
        spreading.learn(&[(A, of(6))]);
        spreading.begin();
        let at = |ms| spreading.partition(&record(A, true), b"", ms);
        assert!((0..STICKY_MS).all(|ms| at(ms) == at(0)));
        let all: std::collections::BTreeSet<i32> =
            (0..1000).map(|turn| at(turn * STICKY_MS)).collect();
        assert_eq!(all, (0..6).collect());
    }

    #[test]
    fn a_turn_takes_as_many_round_trips_as_there_are_fives_of_partitions_at_a_broker() {
        let mut spreading = spreading();
        spreading.learn(&[(A, of(100)), (B, of(50))]);
        let trip = Duration::from_millis(100);
        assert_eq!(spreading.turn(&[A], 1, trip), trip * 20);
        assert_eq!(spreading.turn(&[A, B], 3, trip), trip * 10);
    }
}
