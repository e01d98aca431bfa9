//! Clients that send as one. Librdkafka sends one partition's messages in a request, and has few requests
//! on their way to a broker: over a long way several clients, each with its own partitions, send more.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;

use super::{Client, ConfigError, Hooks, Producer, Reports, Ticket, Tuning};
use crate::inbox::Inbox;
use crate::message::{ANY_PARTITION, Content, Record, TopicId};
use crate::options::KafkaConfig;

/// One client or more. A partition is always the same one's.
pub struct Fleet {
    first: Producer,
    others: Vec<Producer>,
}

impl Fleet {
    /// # Errors
    /// Names the property that librdkafka refuses.
    pub fn new(
        config: &KafkaConfig,
        tuning: Tuning,
        hooks: &Hooks,
        inbox: &Arc<Inbox>,
        size: usize,
    ) -> Result<Self, ConfigError> {
        let make = || Producer::new(config, tuning, hooks.clone(), Arc::clone(inbox));
        Ok(Fleet {
            first: make()?,
            others: (1..size).map(|_| make()).collect::<Result<_, _>>()?,
        })
    }

    pub fn producers(&self) -> impl Iterator<Item = &Producer> {
        [&self.first].into_iter().chain(&self.others)
    }

    /// One that may be asked.
    pub fn client(&self) -> Arc<Client> {
        self.first.client()
    }

    /// How many topics that one knows which knows most, for life.
    pub fn topic_count(&self) -> usize {
        let counts = self.producers().map(Producer::topic_count);
        counts.max().unwrap_or(0)
    }

    /// Which client sends this partition's messages, and those that librdkafka chooses one for.
    fn place(&self, topic: TopicId, partition: i32) -> Option<usize> {
        if self.others.is_empty() || partition == ANY_PARTITION {
            return None;
        }
        let size = self.others.len() as u64 + 1;
        let hash = (u64::from(topic.0) << 32 | u64::from(partition.unsigned_abs()))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 32;
        ((hash % size) as usize).checked_sub(1)
    }

    fn sender(&mut self, record: &Record) -> &mut Producer {
        let place = self.place(record.topic, record.partition);
        match place.and_then(|place| self.others.get_mut(place)) {
            Some(other) => other,
            None => &mut self.first,
        }
    }

    /// The client that sends this partition's messages.
    pub fn client_for(&self, topic: TopicId, partition: i32) -> Arc<Client> {
        let other = self
            .place(topic, partition)
            .and_then(|place| self.others.get(place));
        other.unwrap_or(&self.first).client()
    }

    /// See [`Producer::produce`].
    pub fn produce(
        &mut self,
        record: &Record,
        name: impl FnOnce() -> Arc<str>,
        content: Content<'_>,
        ticket: Ticket,
        now: i64,
    ) -> Result<(), RDKafkaErrorCode> {
        self.sender(record)
            .produce(record, name, content, ticket, now)
    }

    /// Serves all events that are waiting. Returns whether there were any.
    pub fn poll(&self, reports: &mut impl Reports) -> bool {
        let mut any = false;
        for producer in self.producers() {
            any |= producer.poll(reports);
        }
        any
    }

    /// See [`Producer::purge_queue`].
    pub fn purge_queue(&self) {
        self.producers().for_each(Producer::purge_queue);
    }

    /// See [`Producer::purge`].
    pub fn purge(&self) {
        self.producers().for_each(Producer::purge);
    }

    /// The first of their fatal errors: then all are of no use.
    pub fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.producers().find_map(Producer::fatal_error)
    }

    /// Until when a broker holds one of them up, because of a quota.
    pub fn throttled_until(&self) -> Option<Instant> {
        let times = self.producers().map(|it| it.client().throttled_until());
        times.max().flatten()
    }

    /// For each client a topic that it knows, if it knows any.
    pub fn topics(&self) -> impl Iterator<Item = (Arc<Client>, TopicId)> {
        self.producers()
            .filter_map(|it| Some((it.client(), it.any_topic()?)))
    }
}
