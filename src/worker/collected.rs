//! What one round of polling brought.

use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;

use super::troubles::Target;
use crate::fates::Receipt;
use crate::kafka::{Acknowledged, Failure, Origin, Reports, Ticket};
use crate::message::{ANY_PARTITION, Amount, Content, Record, Traits};

/// A message that librdkafka handed back; still counted as [`Place::Flight`] if it is a live one.
pub(super) struct Returned {
    pub(super) ticket: Ticket,
    pub(super) record: Record,
    pub(super) bytes: Vec<u8>,
    pub(super) code: RDKafkaErrorCode,
    /// Since when it had been with librdkafka, if that is known.
    pub(super) since: Option<Instant>,
}

impl Returned {
    pub(super) fn content(&self) -> Content<'_> {
        let split = |bytes, at: u32| <[u8]>::split_at_checked(bytes, at as usize);
        let (key, rest) = split(&self.bytes, self.record.key_length).unwrap_or_default();
        let (value, headers) = split(rest, self.record.value_length).unwrap_or_default();
        Content {
            key,
            value,
            headers,
        }
    }

    /// As it is sent again. A partition that librdkafka has chosen, it, or what is known of troubles,
    /// chooses again.
    pub(super) fn record_anew(&self, partition_is_chosen: bool) -> Record {
        let mut record = self.record;
        if !partition_is_chosen && !record.traits.has(Traits::PARTITION_GIVEN) {
            record.partition = ANY_PARTITION;
        }
        record
    }

    pub(super) fn amount(&self) -> Amount {
        Amount::of_one(self.bytes.len())
    }

    /// What would be in trouble, if it was not this message's own fault.
    pub(super) fn target(&self) -> Target {
        Target {
            topic: self.record.topic,
            partition: self.record.partition,
        }
    }
}

/// What one round of polling a client brought.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) delivered: Amount,
    /// The numbers of delivered live messages.
    pub(super) numbers: Vec<u64>,
    /// Where they are, one by one, if somebody waits for any.
    pub(super) receipts: Vec<Receipt>,
    wants_receipts: bool,
    /// Those of messages from files.
    pub(super) replayed: Vec<u64>,
    pub(super) replayed_amount: Amount,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) failed: Vec<Returned>,
    pub(super) errors: Vec<(RDKafkaErrorCode, String)>,
}

impl Collected {
    pub(super) fn new(wants_receipts: bool) -> Self {
        Collected {
            wants_receipts,
            ..Collected::default()
        }
    }
}

impl Reports for Collected {
    fn delivered(&mut self, ticket: Ticket, bytes: usize, receipt: impl FnOnce() -> Receipt) {
        match ticket.origin {
            Origin::Live => {
                self.delivered.add(Amount::of_one(bytes));
                self.numbers.push(ticket.number);
                if self.wants_receipts {
                    self.receipts.push(receipt());
                }
            }
            Origin::File => {
                self.replayed.push(ticket.number);
                self.replayed_amount.add(Amount::of_one(bytes));
            }
        }
    }

    fn acknowledged(&mut self, what: Acknowledged) {
        self.acknowledged.push(what);
    }

    fn failed(&mut self, failure: Failure<'_>) {
        self.failed.push(Returned {
            ticket: failure.ticket,
            record: Record {
                key_length: failure.key.len() as u32,
                value_length: failure.value.len() as u32,
                headers_length: failure.headers.len() as u32,
                ..failure.record
            },
            bytes: [failure.key, failure.value, &failure.headers].concat(),
            code: failure.code,
            since: None,
        });
    }

    fn error(&mut self, code: RDKafkaErrorCode, text: &str) {
        self.errors.push((code, text.to_owned()));
    }
}
