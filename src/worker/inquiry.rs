//! Questions to the cluster about what is in doubt: whether overdue messages are an outage, where the
//! brokers are, and how many partitions topics in trouble have.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::debug;

use super::Worker;
use super::signals::Signal;
use super::troubles::Target;
use crate::kafka::{Findings, describe_topics};
use crate::message::TopicId;

/// How long the inquiry waits that decides, when a message is overdue, between trouble with some
/// partitions and an outage. With the retry window and the taking back it stays below the 5 s that are
/// promised.
pub(super) const INQUIRY_TIMEOUT: Duration = Duration::from_secs(1);
/// The same where the way there and back is long…
const LONGEST_INQUIRY: Duration = Duration::from_secs(3);
/// …which an answer on a new connection takes so many times.
const TRIPS: u32 = 6;
/// Least time between two inquiries. What the first one finds is to be acted upon before the next.
const INQUIRY_PAUSE: Duration = Duration::from_millis(2500);
/// Least time between two measurements of the way there and back.
const MEASUREMENT_PAUSE: Duration = Duration::from_secs(10);
/// So many topics are asked about in an inquiry.
const MOST_TOPICS: usize = 200;
/// What is so nearly overdue is, when no answer has come.
const DOUBT: Duration = Duration::from_millis(200);

/// When the cluster was last asked.
#[derive(Default)]
pub(super) struct Asked {
    last_inquiry: Option<Instant>,
    /// About topics in trouble.
    last_question: Option<Instant>,
    last_measurement: Option<Instant>,
}

impl Worker {
    /// Asks the cluster, to tell an outage from trouble with some of it.
    pub(super) fn inquire(&mut self) {
        let now = Instant::now();
        let was_lately = |last: Instant| now - last < INQUIRY_PAUSE;
        if self.asked.last_inquiry.is_some_and(was_lately) && self.handed_back.is_empty()
            || !self.phase.begin_deciding()
        {
            return;
        }
        self.asked.last_inquiry = Some(now);
        let mut topics = self.flight.topics(MOST_TOPICS);
        topics.extend(self.handed_back.topics());
        topics.sort_by_key(|topic| topic.0);
        topics.dedup();
        self.examine(topics, self.inquiry_timeout(), true);
    }

    /// How long an answer may take.
    pub(super) fn inquiry_timeout(&self) -> Duration {
        let trip = self.cluster.round_trip().unwrap_or_default();
        (trip * TRIPS).clamp(INQUIRY_TIMEOUT, LONGEST_INQUIRY)
    }

    fn examine(&self, topics: Vec<TopicId>, timeout: Duration, decides: bool) {
        let inquirer = self.producers.inquirer();
        let names = self.shared.topics.clone();
        self.signals.ask(move || {
            let topics = topics.into_iter().map(|id| (id, names.name(id))).collect();
            Signal::Found {
                findings: inquirer.examine(topics, timeout),
                decides,
                round_trip: None,
            }
        });
    }

    /// Acknowledgements take long: is it the way?
    pub(super) fn measure_way(&mut self, now: Instant) {
        let was_lately = |last: Instant| now - last < MEASUREMENT_PAUSE;
        let topic = self.flight.topics(1).first().copied();
        let Some(topic) = topic.filter(|_| !self.asked.last_measurement.is_some_and(was_lately))
        else {
            return;
        };
        self.asked.last_measurement = Some(now);
        let inquirer = self.producers.inquirer();
        let name = self.shared.topics.name(topic);
        self.signals
            .ask(move || Signal::Measured(inquirer.round_trip((topic, name), LONGEST_INQUIRY)));
    }

    /// What an inquiry has found out.
    pub(super) fn found(&mut self, findings: Result<Findings, String>, decides: bool) {
        let was_deciding = decides && self.phase.end_deciding();
        match findings {
            Ok(findings) => {
                self.producers.learn(findings.described.brokers.clone());
                self.spreading.learn(&findings.described.topics);
                for (topic, partitions) in &findings.described.topics {
                    let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
                    self.troubles.has_partitions(*topic, count);
                    if count == 0 && self.troubles.is_topic_ill(*topic) {
                        let code = RDKafkaErrorCode::UnknownTopicOrPartition;
                        self.are_troubled(vec![(Target::topic(*topic), code)]);
                    }
                }
                if !decides {
                    return;
                }
                self.cluster.was_examined(findings);
                if was_deciding {
                    if self.phase.is_connecting() {
                        self.recover();
                    }
                    self.blame();
                }
            }
            Err(why) => {
                debug!("no answer from Kafka: {why}");
                self.shared
                    .statistics
                    .error(format!("no answer from Kafka: {why}"));
                let now = Instant::now();
                let overdue = self
                    .config
                    .retry_window
                    .is_some_and(|window| self.oldest_age(now) + DOUBT >= window);
                let suspects = !self.replay.take_suspects().is_empty();
                // What was overdue may have gone to file meanwhile.
                let taken = self.asked.last_inquiry;
                let taken = taken.is_some_and(|asked| self.handed_back.was_sorted_since(asked));
                if was_deciding
                    && !self.cluster.answered_lately()
                    && (overdue || taken || suspects || !self.handed_back.is_empty())
                {
                    self.fall_back(&why);
                }
            }
        }
    }

    /// The cluster answers, so what has come back is its partitions' trouble.
    fn blame(&mut self) {
        if self.phase.is_taking() {
            return;
        }
        let mut targets: Vec<_> = self.handed_back.targets().collect();
        targets.extend(self.replay.take_suspects());
        targets.sort_by_key(|(target, _)| (target.topic.0, target.partition));
        targets.dedup_by_key(|(target, _)| *target);
        self.are_troubled(targets);
    }

    /// New clients are made to ask for metadata, whose answer begins what they wait for.
    pub(super) fn hasten_new_clients(&mut self, now: Instant) {
        for (client, topic) in self.producers.questions(now) {
            let names = self.shared.topics.clone();
            tokio::task::spawn_blocking(move || {
                // What it says is of no interest here.
                let _ = describe_topics(&client, vec![(topic, names.name(topic))], INQUIRY_TIMEOUT);
            });
        }
    }

    /// Learns where the brokers are, and how many partitions topics in trouble have.
    pub(super) fn check_knowledge(&mut self) {
        let was_lately = |last: Instant| last.elapsed() < INQUIRY_PAUSE;
        if !self.phase.is_publishing() || self.asked.last_question.is_some_and(was_lately) {
            return;
        }
        let mut topics = self.troubles.unknown_topics();
        if topics.is_empty() && !self.producers.knows_brokers() {
            topics = self.flight.topics(MOST_TOPICS);
        }
        if topics.is_empty() {
            topics = self.unknown_far_topics(MOST_TOPICS);
        }
        if topics.is_empty() {
            return;
        }
        topics.truncate(MOST_TOPICS);
        self.asked.last_question = Some(Instant::now());
        if self.producers.knows_brokers() {
            return self.examine(topics, LONGEST_INQUIRY, false);
        }
        // The first time, by a client that is connected already.
        let Some(client) = self.producers.main_client() else {
            return;
        };
        let names = self.shared.topics.clone();
        self.signals.ask(move || {
            let topics = topics.into_iter().map(|id| (id, names.name(id))).collect();
            let begin = Instant::now();
            let described = describe_topics(&client, topics, LONGEST_INQUIRY);
            Signal::Found {
                round_trip: described.is_ok().then(|| begin.elapsed()),
                findings: described.map(Findings::from),
                decides: false,
            }
        });
    }
}
