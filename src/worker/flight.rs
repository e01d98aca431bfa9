//! What librdkafka holds of the live messages, by the client that has it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::collected::Returned;
use super::outstanding::Outstanding;
use crate::fates::Receipt;
use crate::message::{ById, Record, TopicId, Traits, Waiter};

/// The client that had a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Main,
    Alone,
}

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
    /// What librdkafka does not give back, of messages that have it, by their numbers.
    special: HashMap<u64, Special>,
    /// For how many of them somebody waits.
    awaited: usize,
}

struct Special {
    traits: Traits,
    timestamp: i64,
    waiter: Waiter,
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
    pub(super) fn sent(&mut self, record: &Record, since: Instant, now: Instant) {
        self.last_sent = Some(now);
        self.main.sent(self.next, since);
        *self.topics.entry(record.topic).or_default() += 1;
        self.remember(record);
    }

    /// The message of number [`Flight::next`] was handed over.
    fn remember(&mut self, record: &Record) {
        if record.traits != Traits::default() || !record.waiter.is_nobody() {
            let special = Special {
                traits: record.traits,
                timestamp: record.timestamp,
                waiter: record.waiter,
            };
            self.awaited += usize::from(!special.waiter.is_nobody());
            self.special.insert(self.next, special);
        }
        self.next += 1;
    }

    /// What librdkafka has not given back of a message.
    pub(super) fn complete(&mut self, returned: &mut Returned) {
        let Some(special) = self.forget_special(returned.ticket.number) else {
            return;
        };
        returned.record.waiter = special.waiter;
        returned.record.traits = special.traits;
        if special.traits.has(Traits::TIME_GIVEN) {
            returned.record.timestamp = special.timestamp;
        }
    }

    fn forget_special(&mut self, number: u64) -> Option<Special> {
        let special = self.special.remove(&number)?;
        self.awaited -= usize::from(!special.waiter.is_nobody());
        Some(special)
    }

    /// Whether somebody waits for any message.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited > 0
    }

    /// Who waits for these messages, which were delivered, and where they are. Nobody waits for them
    /// after this.
    pub(super) fn awaited(
        &mut self,
        numbers: &[u64],
        receipts: &[Receipt],
    ) -> Vec<(Waiter, Receipt)> {
        let mut awaited = Vec::new();
        if self.special.is_empty() {
            return awaited;
        }
        let mut receipts = receipts.iter();
        for number in numbers {
            let receipt = receipts.next();
            if let Some(special) = self.forget_special(*number)
                && let Some(receipt) = receipt
            {
                awaited.push((special.waiter, *receipt));
            }
        }
        awaited
    }

    /// These messages were delivered, which one client had. Numbers run through both: what one had is
    /// none of the other's. Returns how many of them took how long.
    pub(super) fn delivered(
        &mut self,
        by: Carrier,
        numbers: &[u64],
        now: Instant,
    ) -> Vec<(Duration, u64)> {
        let mut latencies = Vec::new();
        let took = |time, messages| latencies.push((time, messages));
        match by {
            Carrier::Main => self.main.all_done(numbers, now, took),
            Carrier::Alone => self.alone.all_done(numbers, now, took),
        }
        latencies
    }

    /// The message of number [`Flight::next`] was sent alone.
    pub(super) fn sent_alone(&mut self, record: &Record, now: Instant) {
        self.last_sent = Some(now);
        self.alone.sent(self.next, now);
        self.remember(record);
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

    /// Nothing is waited for any more. Returns who waits for messages of which nothing will be heard.
    pub(super) fn forget(&mut self) -> Vec<Waiter> {
        let special = std::mem::take(&mut self.special);
        let waiters = special
            .into_values()
            .map(|special| special.waiter)
            .collect();
        *self = Flight {
            next: self.next,
            last_sent: self.last_sent,
            ..Flight::default()
        };
        waiters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_client_has_delivered_is_none_of_the_others() {
        let (mut flight, now) = (Flight::default(), Instant::now());
        let record = Record::of(TopicId(0), 0);
        flight.sent_alone(&record, now);
        flight.sent(&record, now, now);
        flight.sent_alone(&record, now);
        flight.sent(&record, now, now);
        flight.delivered(Carrier::Main, &[1, 3], now);
        assert!(flight.main.is_empty() && !flight.alone.is_empty());
        flight.sent(&record, now, now);
        flight.delivered(Carrier::Alone, &[0, 2], now);
        assert!(!flight.main.is_empty() && flight.alone.is_empty());
        assert!(!flight.is_empty());
    }
}
