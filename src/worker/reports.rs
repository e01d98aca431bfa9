//! What one round of polling brought.

use rdkafka::types::RDKafkaErrorCode;

use super::replay::is_replayed;
use crate::kafka::{Failure, Reports};
use crate::message::{Amount, Record};

/// A message that librdkafka handed back; still counted as [`Place::Flight`].
pub(super) struct Returned {
    pub(super) sequence: u64,
    pub(super) record: Record,
    pub(super) bytes: Vec<u8>,
    pub(super) code: RDKafkaErrorCode,
}

impl Returned {
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.record.key_length as usize]
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.bytes[self.record.key_length as usize..]
    }

    pub(super) fn amount(&self) -> Amount {
        Amount::of_one(self.bytes.len())
    }
}

/// What one round of polling brought.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) delivered: Amount,
    pub(super) sequences: Vec<u64>,
    /// Delivered messages that came from files.
    pub(super) replayed: Vec<u64>,
    pub(super) replayed_amount: Amount,
    pub(super) failed: Vec<Returned>,
    pub(super) errors: Vec<(RDKafkaErrorCode, String)>,
}

impl Reports for Collected {
    fn delivered(&mut self, sequence: u64, bytes: usize) {
        if is_replayed(sequence) {
            self.replayed.push(sequence);
            self.replayed_amount.add(Amount::of_one(bytes));
            return;
        }
        self.delivered.add(Amount::of_one(bytes));
        self.sequences.push(sequence);
    }

    fn failed(&mut self, failure: Failure<'_>) {
        self.failed.push(Returned {
            sequence: failure.sequence,
            record: Record {
                topic: failure.topic,
                partition: failure.partition,
                keyless: false,
                key_length: failure.key.len() as u32,
                value_length: failure.value.len() as u32,
                timestamp: failure.timestamp,
            },
            bytes: [failure.key, failure.value].concat(),
            code: failure.code,
        });
    }

    fn error(&mut self, code: RDKafkaErrorCode, text: &str) {
        self.errors.push((code, text.to_owned()));
    }
}
