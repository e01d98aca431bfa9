//! What a message is once it has left JavaScript: its bytes, its topic, and the reasons for which
//! one may be discarded.
//!
//! Messages travel in [`Batch`]es: one arena of bytes and one [`Record`] per message, so that a
//! hundred thousand messages cost a few allocations and move between threads as one value.

use std::time::{SystemTime, UNIX_EPOCH};

pub use crate::headers::Headers;
pub use crate::reason::Reason;
pub use crate::topics::{ById, MANY as MANY_TOPICS, TopicId, Topics};

/// Longest topic name that Kafka takes, in bytes.
pub const MAX_TOPIC_LENGTH: usize = 249;

/// Memory that a message costs beside its own bytes, in bytes: librdkafka's descriptor and its
/// allocation, or the record and its share of an arena. Used for the memory bound only.
pub const OVERHEAD: u64 = 256;

/// The partition is librdkafka's to choose: its RD_KAFKA_PARTITION_UA.
pub const ANY_PARTITION: i32 = -1;

/// A number of messages and the bytes of their keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub messages: u64,
    pub bytes: u64,
}

impl Amount {
    pub fn of_one(bytes: usize) -> Self {
        Amount {
            messages: 1,
            bytes: bytes as u64,
        }
    }

    pub fn is_zero(self) -> bool {
        self.messages == 0
    }

    /// Bytes of memory that this amount is counted as.
    pub fn cost(self) -> u64 {
        self.bytes + self.messages * OVERHEAD
    }

    pub fn add(&mut self, other: Amount) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    /// Subtracting more than there is would break the conservation law: a bug, caught in tests.
    pub fn subtract(&mut self, other: Amount) {
        debug_assert!(self.messages >= other.messages && self.bytes >= other.bytes);
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What the key is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyEncoding {
    /// `JSON.stringify(key)`, as 0.1.x: a string key keeps its quotes.
    #[default]
    Json,
    /// A string key as it is; other keys as JSON.
    Raw,
}

/// What is particular about a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u8);

impl Traits {
    /// It has no key at all.
    pub const KEYLESS: Traits = Traits(1);
    /// It has no value: a tombstone.
    pub const VALUELESS: Traits = Traits(2);
    /// Its key is bytes as they are, whatever `keyEncoding` says.
    pub const RAW_KEY: Traits = Traits(4);
    /// Its value is bytes as they are, no JSON.
    pub const RAW_VALUE: Traits = Traits(8);
    /// Its partition is the caller's.
    pub const PARTITION_GIVEN: Traits = Traits(16);
    /// Its time is the caller's.
    pub const TIME_GIVEN: Traits = Traits(32);

    pub fn has(self, other: Traits) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: Traits) -> Traits {
        Traits(self.0 | other.0)
    }

    #[must_use]
    pub fn with_if(self, other: Traits, holds: bool) -> Traits {
        if holds { self.with(other) } else { self }
    }
}

/// Who waits to hear what becomes of a message: a number from 1 to 2²⁴ - 1, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiter([u8; 3]);

impl Waiter {
    pub const NOBODY: Waiter = Waiter([0; 3]);

    /// Nobody, where the number does not fit.
    pub fn new(number: u32) -> Self {
        match number.to_le_bytes() {
            [a, b, c, 0] => Waiter([a, b, c]),
            _ => Waiter::NOBODY,
        }
    }

    pub fn number(self) -> u32 {
        let [a, b, c] = self.0;
        u32::from_le_bytes([a, b, c, 0])
    }

    pub fn is_nobody(self) -> bool {
        self == Waiter::NOBODY
    }
}

/// One message of a [`Batch`]. Its key, value and headers follow each other in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub topic: TopicId,
    pub partition: i32,
    pub traits: Traits,
    pub waiter: Waiter,
    pub key_length: u32,
    pub value_length: u32,
    pub headers_length: u32,
    /// Of the message, in milliseconds since the Unix epoch: when it was queued, unless the caller has
    /// said another.
    pub timestamp: i64,
}

impl Record {
    /// A message of this topic, before its content is known.
    pub fn of(topic: TopicId, timestamp: i64) -> Self {
        Record {
            topic,
            partition: ANY_PARTITION,
            traits: Traits::default(),
            waiter: Waiter::NOBODY,
            key_length: 0,
            value_length: 0,
            headers_length: 0,
            timestamp,
        }
    }

    pub fn is_keyless(&self) -> bool {
        self.traits.has(Traits::KEYLESS)
    }

    pub fn is_valueless(&self) -> bool {
        self.traits.has(Traits::VALUELESS)
    }

    pub fn length(&self) -> usize {
        self.key_length as usize + self.value_length as usize + self.headers_length as usize
    }
}

/// The bytes of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    /// See [`Headers`].
    pub headers: &'a [u8],
}

impl<'a> Content<'a> {
    /// Without headers.
    #[cfg(test)]
    pub fn new(key: &'a [u8], value: &'a [u8]) -> Self {
        Content {
            key,
            value,
            headers: &[],
        }
    }

    pub fn amount(&self) -> Amount {
        Amount::of_one(self.key.len() + self.value.len() + self.headers.len())
    }
}

/// Messages in the order in which they were queued. Taken from the front, record by record.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Record>,
    /// Bytes of the records.
    committed: usize,
    next: usize,
    next_offset: usize,
}

#[allow(
    clippy::indexing_slicing,
    reason = "the records' lengths add up to the bytes: see `commit`"
)]
impl Batch {
    /// # Errors
    /// There is no memory for it.
    pub fn try_with_capacity(
        bytes: usize,
        records: usize,
    ) -> Result<Self, std::collections::TryReserveError> {
        let mut batch = Self::default();
        batch.bytes.try_reserve_exact(bytes)?;
        batch.records.try_reserve_exact(records)?;
        Ok(batch)
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.records.len()
    }

    /// Free bytes in the arena.
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// The arena, for whoever appends the bytes of a message before [`Batch::commit`].
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a message of the bytes appended since the last one.
    pub fn commit(&mut self, record: Record) {
        debug_assert_eq!(self.bytes.len(), self.committed + record.length());
        self.committed = self.bytes.len();
        self.records.push(record);
    }

    /// Drops what was appended since the last message.
    pub fn roll_back(&mut self) {
        self.bytes.truncate(self.committed);
    }

    /// Appends a message whose bytes are at hand.
    pub fn push(&mut self, record: Record, content: Content<'_>) {
        self.bytes.extend_from_slice(content.key);
        self.bytes.extend_from_slice(content.value);
        self.bytes.extend_from_slice(content.headers);
        self.commit(Record {
            key_length: content.key.len() as u32,
            value_length: content.value.len() as u32,
            headers_length: content.headers.len() as u32,
            ..record
        });
    }

    fn content(&self, record: &Record, offset: usize) -> Content<'_> {
        let key_end = offset + record.key_length as usize;
        let value_end = key_end + record.value_length as usize;
        let headers_end = value_end + record.headers_length as usize;
        Content {
            key: &self.bytes[offset..key_end],
            value: &self.bytes[key_end..value_end],
            headers: &self.bytes[value_end..headers_end],
        }
    }

    /// The next message.
    pub fn peek(&self) -> Option<(&Record, Content<'_>)> {
        let record = self.records.get(self.next)?;
        Some((record, self.content(record, self.next_offset)))
    }

    /// Goes on to the message after the one that [`Batch::peek`] shows.
    pub fn advance(&mut self) {
        if let Some(record) = self.records.get(self.next) {
            self.next_offset += record.length();
            self.next += 1;
        }
    }

    /// What has not been taken yet.
    pub fn remaining(&self) -> Amount {
        Amount {
            messages: (self.records.len() - self.next) as u64,
            bytes: (self.bytes.len() - self.next_offset) as u64,
        }
    }

    /// The records that have not been taken yet, for whoever assigns their partitions.
    pub fn remaining_records(&mut self) -> &mut [Record] {
        &mut self.records[self.next..]
    }

    /// The topics of the remaining messages, one by one.
    pub fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.remaining_messages().map(|(record, ..)| record.topic)
    }

    /// The messages that have not been taken yet, in order.
    pub fn remaining_messages(&self) -> impl Iterator<Item = (&Record, Content<'_>)> {
        let mut offset = self.next_offset;
        self.records[self.next..].iter().map(move |record| {
            let content = self.content(record, offset);
            offset += record.length();
            (record, content)
        })
    }

    /// What has not been taken yet, in no more memory than it needs.
    pub fn compact(&self) -> Batch {
        Batch {
            bytes: self.bytes[self.next_offset..].to_vec(),
            records: self.records[self.next..].to_vec(),
            committed: self.committed - self.next_offset,
            ..Batch::default()
        }
    }

    /// Empties the batch and keeps its memory for the next use.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.committed = 0;
        self.next = 0;
        self.next_offset = 0;
    }
}

/// Whether Kafka can have a topic of this name.
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_TOPIC_LENGTH
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Milliseconds since the Unix epoch; negative before it.
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: u32) -> Record {
        Record::of(TopicId(topic), 7)
    }

    #[test]
    fn batch_gives_messages_back_in_order() {
        let mut batch = Batch::default();
        batch.push(record(0), Content::new(b"a", b"one"));
        batch.push(record(1), Content::new(b"", b"two"));
        assert_eq!(
            batch.remaining(),
            Amount {
                messages: 2,
                bytes: 7
            }
        );

        let (first, Content { key, value, .. }) = batch.peek().unwrap();
        assert_eq!((first.topic.0, key, value), (0, &b"a"[..], &b"one"[..]));
        batch.advance();
        let (second, Content { key, value, .. }) = batch.peek().unwrap();
        assert_eq!((second.topic.0, key, value), (1, &b""[..], &b"two"[..]));
        assert_eq!(
            batch.remaining(),
            Amount {
                messages: 1,
                bytes: 3
            }
        );
        batch.advance();
        assert!(batch.is_empty());
        assert!(batch.peek().is_none());

        batch.clear();
        assert_eq!(batch.remaining(), Amount::default());
    }

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "orders.v1_EU-west", &"x".repeat(249)] {
            assert!(is_topic_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../../etc/x", "a b", "ü", &"x".repeat(250)] {
            assert!(!is_topic_name(bad), "{bad}");
        }
    }
}
