//! What Kafka has said lately: whether it answers, for which partitions, how fast, and what an inquiry
//! has found.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::debug;

use super::pulse::Pulse;
use super::troubles::Target;
use crate::kafka::{Acknowledged, Findings};
use crate::message::TopicId;

/// What was found out about the cluster is believed for so long.
const BELIEVED: Duration = Duration::from_secs(3);
/// Half of it is how long an answer counts where messages wait for ever (`message.timeout.ms: 0`).
const LONG_WINDOW: Duration = Duration::from_secs(60);

pub(super) struct Cluster {
    /// Messages have to be acknowledged within this, unless they wait for ever.
    window: Option<Duration>,
    /// When it last gave any answer.
    last_answer: Option<Instant>,
    /// When a message of this partition was last acknowledged.
    acknowledged: HashMap<Target, Instant>,
    /// Of the last inquiry that decided something.
    findings: Option<Findings>,
    pulse: Pulse,
    /// Until when a broker holds up what it is sent, because of a quota.
    throttled_until: Option<Instant>,
}

impl Cluster {
    pub(super) fn new(window: Option<Duration>) -> Self {
        Cluster {
            window,
            last_answer: None,
            acknowledged: HashMap::new(),
            findings: None,
            pulse: Pulse::default(),
            throttled_until: None,
        }
    }

    pub(super) fn has_answered(&mut self) {
        self.last_answer = Some(Instant::now());
    }

    /// Whether it gave an answer so lately that it is not the cluster that is away.
    pub(super) fn answered_lately(&self) -> bool {
        let window = self.window.unwrap_or(LONG_WINDOW);
        self.last_answer
            .is_some_and(|last| last.elapsed() < window / 2)
    }

    /// Live messages were acknowledged; of `latencies`, so many messages took so long.
    pub(super) fn has_acknowledged(
        &mut self,
        what: &[Acknowledged],
        latencies: &[(Duration, u64)],
        now: Instant,
    ) {
        self.last_answer = Some(now);
        for it in what {
            let (topic, partition) = (it.topic, it.partition);
            self.acknowledged.insert(Target { topic, partition }, now);
        }
        for (time, messages) in latencies {
            self.pulse.took(*time, *messages);
        }
        if let Some(window) = self.window {
            self.pulse.beat(now, window);
        }
    }

    /// Nothing was handed over for a while, and is again.
    pub(super) fn goes_on(&mut self, now: Instant) {
        self.pulse.goes_on(now);
    }

    /// A broker has said so. Returns whether that is news.
    pub(super) fn is_throttled_until(&mut self, until: Instant, now: Instant) -> bool {
        let is_news = !self.is_throttled(now);
        self.throttled_until = self.throttled_until.max(Some(until));
        is_news && self.is_throttled(now)
    }

    /// Whether a quota makes messages wait, or has until lately.
    pub(super) fn is_throttled(&self, now: Instant) -> bool {
        let window = self.window.unwrap_or(LONG_WINDOW);
        self.throttled_until
            .is_some_and(|until| now < until + window)
    }

    /// How long a message is waited for; see [`Pulse::patience`]. A quota is not waited for.
    pub(super) fn patience(&self, now: Instant, window: Duration) -> Duration {
        if self.is_throttled(now) {
            window
        } else {
            self.pulse.patience(now, window)
        }
    }

    /// See [`Pulse::grace`].
    pub(super) fn grace(&self, age: Duration) -> Duration {
        self.pulse.grace(self.window.unwrap_or(LONG_WINDOW), age)
    }

    /// The way there and back was measured, apart from messages.
    pub(super) fn was_measured(&mut self, round_trip: Option<Duration>) {
        if let Some(time) = round_trip {
            debug!(?time, "an answer of Kafka was measured");
            self.pulse.was_measured(time);
        }
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.pulse.round_trip()
    }

    pub(super) fn was_examined(&mut self, findings: Findings) {
        self.findings = Some(findings);
        self.has_answered();
    }

    /// How many partitions it has last said that a topic has.
    pub(super) fn partitions_of(&self, topic: TopicId) -> Option<i32> {
        let topics = &self.findings.as_ref()?.described.topics;
        let (_, partitions) = topics.iter().find(|(found, _)| *found == topic)?;
        i32::try_from(partitions.len()).ok()
    }

    /// Whether a message of this partition was acknowledged within the retry window.
    pub(super) fn was_heard(&self, target: Target, now: Instant) -> bool {
        let window = self.window.unwrap_or(LONG_WINDOW);
        self.acknowledged
            .get(&target)
            .is_some_and(|at| now - *at < window)
    }

    /// Whether the last inquiry, if it is to be believed still, has found that this partition can take
    /// nothing: it has no leader, or one that is silent, or with `acks` all a follower that is.
    pub(super) fn is_known_to_fail(
        &self,
        target: Target,
        waits_for_all: bool,
        now: Instant,
    ) -> bool {
        let Some(findings) = self.findings.as_ref().filter(|it| now - it.at < BELIEVED) else {
            return false;
        };
        let topics = findings.described.topics.iter();
        let found = topics
            .filter(|(topic, _)| *topic == target.topic)
            .flat_map(|(_, partitions)| partitions)
            .find(|it| it.id == target.partition);
        let is_silent = |broker: &i32| findings.silent.contains(broker);
        found.is_some_and(|found| {
            found.leader < 0
                || is_silent(&found.leader)
                || waits_for_all && found.isr.iter().any(is_silent)
        })
    }

    /// Forgets the partitions of the other topics.
    pub(super) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.acknowledged.retain(|target, _| is_known(target.topic));
    }
}
