//! What librdkafka holds of the live messages, by the client that has it.

use std::time::{Duration, Instant};

use super::outstanding::Outstanding;
use crate::message::{ById, TopicId};

#[derive(Default)]
pub(super) struct Flight {
    /// With the main client.
    pub(super) main: Outstanding,
    /// Sent alone, which have time-outs of their own.
    pub(super) alone: Outstanding,
    next: u64,
    /// When a message was last handed over.
    last_sent: Option<Instant>,
    /// How many of each topic the main client has.
    topics: ById<u64>,
}

impl Flight {
    /// The number that the next message will have.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.main.is_empty() && self.alone.is_empty()
    }

    /// Whether a message was handed over within this time.
    pub(super) fn was_fed_within(&self, time: Duration) -> bool {
        self.last_sent.is_some_and(|last| last.elapsed() < time)
    }

    /// The message of number [`Flight::next`], which has been waiting since then, was handed to the main
    /// client.
    pub(super) fn sent(&mut self, topic: TopicId, since: Instant, now: Instant) {
        self.last_sent = Some(now);
        self.main.sent(self.next, since);
        self.next += 1;
        *self.topics.entry(topic).or_default() += 1;
    }

    /// The message of number [`Flight::next`] was sent alone.
    pub(super) fn sent_alone(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.alone.sent(self.next, now);
        self.next += 1;
    }

    /// So many of the main client's have come back.
    pub(super) fn came_back(&mut self, topic: TopicId, messages: u64) {
        if let Some(count) = self.topics.get_mut(&topic) {
            *count = count.saturating_sub(messages);
        }
    }

    /// Some of the topics of which the main client has messages.
    pub(super) fn topics(&self, at_most: usize) -> Vec<TopicId> {
        self.topics
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(topic, _)| *topic)
            .take(at_most)
            .collect()
    }

    /// Forgets the topics of which there is nothing.
    pub(super) fn retain(&mut self) {
        self.topics.retain(|_, count| *count > 0);
        self.topics.shrink_to_fit();
    }

    /// Nothing is waited for any more.
    pub(super) fn forget(&mut self) {
        *self = Flight {
            next: self.next,
            last_sent: self.last_sent,
            ..Flight::default()
        };
    }
}
