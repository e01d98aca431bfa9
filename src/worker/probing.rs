//! Finding out whether Kafka is there: by questions, never by a synthetic message.

use std::time::{Duration, Instant};

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;
use tracing::debug;

use super::Worker;
use super::phase::AfterAnswer;
use super::signals::Signal;
use super::troubles::Target;
use crate::kafka::{Findings, Inquirer, describe_topics};
use crate::message::TopicId;
use crate::options::RetryPolicy;

/// How long a background probe waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time between two of them: Kafka is found again within a second.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// So many may wait for their answers at the same time.
const MOST_PROBES: u32 = 3;
/// How long a probe waits for its connection to be accepted.
const KNOCK_TIMEOUT: Duration = Duration::from_millis(700);
/// How long the inquiry waits that decides, when a message is overdue, between trouble with some
/// partitions and an outage. With the retry window and the taking back it stays below the 5 s that are
/// promised.
const INQUIRY_TIMEOUT: Duration = Duration::from_secs(1);
/// Least time between two inquiries. What the first one finds is to be acted upon before the next.
const INQUIRY_PAUSE: Duration = Duration::from_millis(2500);
/// How much longer than it should an inquiry is waited for.
const INQUIRY_GRACE: Duration = Duration::from_millis(300);
/// So many topics are asked about in an inquiry.
const MOST_TOPICS: usize = 200;
/// How often librdkafka is made to look for messages that have timed out.
const NUDGE: Duration = Duration::from_millis(200);

/// The schedule of the probes.
#[derive(Default)]
pub(super) struct Probing {
    next: Option<Instant>,
    /// Before the first answer: when messages stop waiting for it.
    give_up: Option<Instant>,
    /// So many delays of the policy are over.
    attempt: u32,
    next_attempt: Option<Instant>,
    under_way: u32,
    last_inquiry: Option<Instant>,
    /// When topics in trouble were last asked about.
    last_question: Option<Instant>,
    last_nudge: Option<Instant>,
}

impl Probing {
    /// At once, for a publisher that has not been connected yet.
    pub(super) fn begin(&mut self, window: Option<Duration>) {
        self.next = Some(Instant::now());
        self.give_up = window.map(|window| Instant::now() + window);
    }

    /// After the next delay, at most [`PROBE_INTERVAL`].
    pub(super) fn schedule(&mut self, policy: RetryPolicy) {
        let now = Instant::now();
        if self.next_attempt.is_none_or(|at| at <= now) {
            let delay = policy.delay(self.attempt);
            self.next_attempt = Some(now + delay);
            self.attempt = self.attempt.saturating_add(1);
        }
        // Not all processes at the same time.
        let spread = rand::rng().random_range(0.7..1.0);
        let longest = now + PROBE_INTERVAL.mul_f64(spread);
        self.next = self.next_attempt.map(|next| next.min(longest));
    }

    /// A message was delivered: the next outage begins with the shortest delay.
    pub(super) fn succeeded(&mut self) {
        self.attempt = 0;
        self.next_attempt = None;
    }

    /// The oldest message on disk was not delivered: does the cluster still answer?
    pub(super) fn is_to_look_again(&mut self) {
        self.next = Some(Instant::now());
    }

    pub(super) fn next_in(&self) -> Duration {
        let in_far_future = Duration::from_secs(3600);
        [self.next, self.give_up]
            .into_iter()
            .flatten()
            .min()
            .map_or(in_far_future, |time| {
                time.saturating_duration_since(Instant::now())
            })
    }
}

impl Worker {
    pub(super) fn check_time(&mut self) {
        let now = Instant::now();
        self.check_taking(now);
        if self.probing.next.is_some_and(|next| next <= now) {
            self.probe();
        }
        if self.probing.give_up.is_some_and(|at| at <= now) {
            self.probing.give_up = None;
            // With messages on their way, those decide.
            if self.phase.is_connecting() && self.flight.is_empty() {
                self.fall_back("no broker has answered yet");
            }
        }
        self.check_overdue(now);
        self.check_partitioning();
    }

    fn check_overdue(&mut self, now: Instant) {
        self.nudge(now);
        let Some(window) = self.config.retry_window else {
            return;
        };
        if self.phase.is_taking() || self.phase.is_away() {
            return;
        }
        let age = self.oldest_age(now);
        // The inquiry begins so early that its answer is there when the window ends.
        if age < window.saturating_sub(INQUIRY_TIMEOUT).max(window / 2) {
            return;
        }
        let patience = self.cluster.patience(now, window);
        if patience == window {
            self.inquire();
        }
        let Some(oldest) = self.flight.main.oldest() else {
            return;
        };
        let waits = if self.phase.is_deciding() {
            INQUIRY_GRACE
        } else {
            Duration::ZERO
        };
        // Where nobody answers, the inquiry's end is an outage's beginning.
        if now - oldest >= patience + waits && (waits.is_zero() || self.cluster.answered_lately()) {
            self.take_overdue_back(now);
        }
    }

    /// Librdkafka's own time-outs are to come in time, too.
    fn nudge(&mut self, now: Instant) {
        let is_time = self
            .probing
            .last_nudge
            .is_none_or(|last| now - last >= NUDGE);
        let replay_owes = self
            .replay
            .as_ref()
            .is_some_and(|replay| !replay.has_landed());
        if is_time && (!self.flight.is_empty() || replay_owes) {
            self.probing.last_nudge = Some(now);
            for producer in self.producers.open() {
                producer.nudge();
            }
        }
    }

    /// How long Kafka has owed an answer, for a live message or for those from files.
    fn oldest_age(&self, now: Instant) -> Duration {
        let oldest = self.flight.main.oldest();
        let oldest = oldest.into_iter().chain(self.flight.alone.oldest()).min();
        let live = oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest));
        let replay = self.replay.as_ref().map(|replay| replay.silence(now));
        live.max(replay.unwrap_or_default())
    }

    /// Asks the cluster, to tell an outage from trouble with some of it.
    pub(super) fn inquire(&mut self) {
        let now = Instant::now();
        let was_lately = |last: Instant| now - last < INQUIRY_PAUSE;
        if self.probing.last_inquiry.is_some_and(was_lately) && self.handed_back.is_empty()
            || !self.phase.begin_deciding()
        {
            return;
        }
        self.probing.last_inquiry = Some(now);
        let mut topics = self.flight.topics(MOST_TOPICS);
        topics.extend(self.handed_back.topics());
        topics.sort_by_key(|topic| topic.0);
        topics.dedup();
        self.examine(topics, true);
    }

    fn inquirer(&self) -> Inquirer {
        self.producers.inquirer()
    }

    fn examine(&self, topics: Vec<TopicId>, decides: bool) {
        let inquirer = self.inquirer();
        let names = self.shared.topics.clone();
        self.signals.ask(move || {
            let topics = topics.into_iter().map(|id| (id, names.name(id))).collect();
            Signal::Found {
                findings: inquirer.examine(topics, INQUIRY_TIMEOUT),
                decides,
            }
        });
    }

    /// No probe is begun any more.
    pub(super) fn stop_probing(&mut self) {
        self.probing.next = None;
        self.probing.give_up = None;
    }

    fn probe(&mut self) {
        self.probing.next = None;
        if !self.phase.is_away() {
            // The main client connects anyway.
            let Some(client) = self.producers.main_client() else {
                return;
            };
            self.probing.under_way += 1;
            return self.signals.ask(move || {
                let answered = client.is_answered(INQUIRY_TIMEOUT);
                Signal::Answer(
                    answered
                        .then_some(())
                        .ok_or("no broker has answered".into()),
                )
            });
        }
        self.probing.schedule(self.config.probe);
        if self.probing.under_way >= MOST_PROBES {
            return;
        }
        self.probing.under_way += 1;
        self.shared.statistics.background_retry();
        let inquirer = self.inquirer();
        self.signals.ask(move || {
            // A client, with its threads, is made only for somebody who opens.
            Signal::Answer(if inquirer.knock(KNOCK_TIMEOUT) {
                inquirer.is_there(PROBE_TIMEOUT)
            } else {
                Err("no broker accepts a connection".into())
            })
        });
    }

    /// A probe's answer.
    pub(super) fn cluster_answered(&mut self, answer: Result<(), String>) {
        self.probing.under_way = self.probing.under_way.saturating_sub(1);
        if let Err(why) = answer {
            debug!("no answer from Kafka: {why}");
            self.shared
                .statistics
                .error(format!("no answer from Kafka: {why}"));
            if self.phase.is_connecting() || self.phase.is_away() {
                self.give_up_init(&why);
            }
            if self.phase.is_connecting() {
                self.probing.schedule(self.config.probe);
            }
            return;
        }
        self.cluster.has_answered();
        match self.phase.after_answer() {
            AfterAnswer::Recover => self.recover(),
            AfterAnswer::Try => self.begin_trial(),
            AfterAnswer::Nothing => {}
        }
    }

    /// What an inquiry has found out.
    pub(super) fn found(&mut self, findings: Result<Findings, String>, decides: bool) {
        let was_deciding = decides && self.phase.end_deciding();
        match findings {
            Ok(findings) => {
                self.producers.learn(findings.described.brokers.clone());
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
                    .is_some_and(|window| self.oldest_age(now) + NUDGE >= window);
                let suspects = self
                    .replay
                    .as_mut()
                    .is_some_and(|replay| !replay.take_suspects().is_empty());
                if was_deciding
                    && !self.cluster.answered_lately()
                    && (overdue || suspects || !self.handed_back.is_empty())
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
        targets.extend(
            self.replay
                .iter_mut()
                .flat_map(|replay| replay.take_suspects()),
        );
        targets.sort_by_key(|(target, _)| (target.topic.0, target.partition));
        targets.dedup_by_key(|(target, _)| *target);
        self.are_troubled(targets);
    }

    /// Learns where the brokers are, and how many partitions topics in trouble have.
    pub(super) fn check_knowledge(&mut self) {
        let mut topics = self.troubles.unknown_topics();
        if topics.is_empty() && !self.producers.knows_brokers() {
            topics = self.flight.topics(1);
        }
        let was_lately = |last: Instant| last.elapsed() < INQUIRY_PAUSE;
        if topics.is_empty()
            || !self.phase.is_publishing()
            || self.probing.last_question.is_some_and(was_lately)
        {
            return;
        }
        topics.truncate(MOST_TOPICS);
        self.probing.last_question = Some(Instant::now());
        if self.producers.knows_brokers() {
            return self.examine(topics, false);
        }
        // The first time, by a client that is connected already.
        let Some(client) = self.producers.main_client() else {
            return;
        };
        let names = self.shared.topics.clone();
        self.signals.ask(move || {
            let topics = topics.into_iter().map(|id| (id, names.name(id))).collect();
            let described = describe_topics(&client, topics, INQUIRY_TIMEOUT);
            Signal::Found {
                findings: described.map(Findings::from),
                decides: false,
            }
        });
    }

    /// `retryOptions.retries`, if they are not for ever, end the waiting of `init()` only.
    fn give_up_init(&mut self, why: &str) {
        if self
            .config
            .probe
            .retries
            .is_none_or(|retries| self.probing.attempt < retries)
        {
            return;
        }
        self.waiters.refuse_init(&format!(
            "Kafka did not answer within retryOptions.retries ({why}); messages go to the fallback file, and Kafka is probed on"
        ));
    }
}
