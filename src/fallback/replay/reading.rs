//! Lines into messages: what is offered, and what can't be replayed.

use std::time::{Duration, Instant};

use tracing::error;

use super::super::lines::Content;
use super::super::record;
use super::super::replayer::{Offer, Offers, Permission};
use super::super::segment::SegmentId;
use super::{Pass, Replay};
use crate::message::{ANY_PARTITION, Amount, Batch, Record, now_ms};
use crate::statistics::Place;

/// Size of a batch, in bytes of keys and values and in messages.
const BATCH_BYTES: u64 = 128 * 1024;
const BATCH_MESSAGES: u64 = 1024;

impl Replay {
    /// Reads on until a batch is full, and offers it.
    pub(super) fn read(&mut self, pass: &mut Pass, room: u64, offers: &Offers) {
        let most = match (self.permission, self.config.max_messages_per_second) {
            (Permission::One, _) => 1,
            (_, Some(rate)) => BATCH_MESSAGES.min((rate / 10.0).ceil() as u64),
            (_, None) => BATCH_MESSAGES,
        };
        let (mut offered, mut batch, mut batch_topic) = (Amount::default(), Batch::default(), None);
        let (mut first_id, now) = (self.next_id, now_ms());
        while offered.messages < most && offered.bytes < BATCH_BYTES {
            if offered.cost() >= room && !offered.is_zero() {
                break;
            }
            let Some(segment) = self.backlog.segment(pass.segment) else {
                break;
            };
            let line = match pass.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    segment.ledger.read_to(segment.length);
                    pass.ended = true;
                    break;
                }
                Err(error) => {
                    pass.ended = true;
                    self.backlog.failed(pass.segment, "cannot be read", &error);
                    break;
                }
            };
            let parsed = match line.content {
                Content::Text(text) => record::parse(text).map_err(|error| error.to_string()),
                Content::NotKept => Err("the line is garbage, or too long".into()),
            };
            let (offset, next) = (line.offset, line.next);
            let message = match parsed {
                Ok(message) => message,
                Err(why) => {
                    if segment.ledger.is_base_above(offset)
                        || self.reject(pass.segment, offset, next, &why)
                    {
                        if let Some(segment) = self.backlog.segment(pass.segment) {
                            segment.ledger.read_to(next);
                        }
                        continue;
                    }
                    pass.ended = true;
                    break;
                }
            };
            let topic = self.topics.intern(&message.topic);
            if segment.ledger.is_due(offset, topic, &self.halted) {
                if self.single_topic && batch_topic.is_some_and(|other| other != topic) {
                    let batch = std::mem::take(&mut batch);
                    offers(Offer::Messages { first_id, batch });
                    first_id = self.next_id;
                }
                batch_topic = Some(topic);
                let key = message.key.as_deref().unwrap_or_default();
                let amount = Amount::of_one(key.len() + message.value.len());
                let id = segment.ledger.sent(offset, topic, amount.cost());
                debug_assert_eq!(id, self.next_id);
                self.next_id += 1;
                offered.add(amount);
                let record = Record {
                    topic,
                    partition: ANY_PARTITION,
                    keyless: message.key.is_none(),
                    key_length: 0,
                    value_length: 0,
                    // A time that has not come is a clock's mistake, for which brokers refuse it.
                    timestamp: message.timestamp.map_or(0, |at| at.clamp(0, now)),
                };
                batch.push(record, key, &message.value);
            }
            segment.ledger.read_to(next);
        }
        if offered.is_zero() {
            return;
        }
        self.offered_one = true;
        if let Some(rate) = self.config.max_messages_per_second {
            let time = Duration::from_secs_f64(offered.messages as f64 / rate);
            self.paced_until = self.paced_until.max(Instant::now()) + time;
        }
        offers(Offer::Messages { first_id, batch });
    }

    /// A line that will never be delivered is kept beside its file. Returns whether that was possible.
    fn reject(&mut self, id: SegmentId, offset: u64, next: u64, why: &str) -> bool {
        let Some(segment) = self.backlog.segment(id) else {
            return false;
        };
        let path = segment.path.display().to_string();
        if let Err(error) = segment.reject(offset, next, self.instance.modes()) {
            self.backlog
                .failed(id, "has a line that cannot be kept apart", &error);
            return false;
        }
        segment.messages = segment.messages.saturating_sub(1);
        error!(%path, offset, "a line cannot be replayed and is kept in the .rejected file: {why}");
        self.statistics.errors(format!("not replayed: {why}"), 1);
        let one = Amount {
            messages: 1,
            bytes: 0,
        };
        self.statistics.transfer(Place::Disk, Place::Rejected, one);
        true
    }

    pub(super) fn refused(&mut self, pass: &Pass, id: u64, why: &str) {
        let Some(segment) = self.backlog.segment(pass.segment) else {
            return;
        };
        let Some(offset) = segment.ledger.offset_of(id) else {
            return;
        };
        let line = segment.lines(offset).and_then(|mut lines| {
            let line = lines.next()?;
            Ok(line.map_or(offset, |line| line.next))
        });
        let is_kept = match line {
            Ok(next) => self.reject(pass.segment, offset, next, why),
            Err(error) => {
                self.backlog.failed(pass.segment, "cannot be read", &error);
                false
            }
        };
        let Some(segment) = self.backlog.segment(pass.segment) else {
            return;
        };
        if is_kept {
            segment.ledger.settled(id, &self.halted);
        } else {
            segment.ledger.came_back(id, &mut self.halted);
            // It is the disk's trouble, not the topic's: the file is what waits.
            self.resumed.extend(self.halted.iter().copied());
        }
    }
}
