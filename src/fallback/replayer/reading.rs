//! Lines into messages: what is offered, and what can't be replayed.

use std::time::Duration;

use tracing::{error, warn};

use super::protocol::{Offer, Offers, Permission};
use super::thread::{Replay, Run};
use crate::fallback::backlog::GRACE;
use crate::fallback::clock::now;
use crate::fallback::lines::{Content, Lines};
use crate::fallback::names::SegmentId;
use crate::fallback::record::{self, Unreadable};
use crate::fallback::rejects::Reject;
use crate::message::{self, ANY_PARTITION, Amount, Batch, Record, TopicId, Traits, now_ms};
use crate::statistics::Place;

/// Size of a batch, in bytes of keys and values and in messages.
const BATCH_BYTES: u64 = 128 * 1024;
const BATCH_MESSAGES: u64 = 1024;

/// Messages that are gathered, from one file or many.
#[derive(Default)]
struct Gathering {
    offered: Amount,
    batch: Batch,
    topic: Option<TopicId>,
    first_id: u64,
}

/// What has become of a line.
enum Next {
    GoOn,
    /// Nothing more is read of this file now.
    Ended,
}

impl Replay {
    /// Reads on until a batch is full, and offers it. Returns whether there was anything to read.
    pub(super) fn read(&mut self, room: u64, offers: &Offers) -> bool {
        let most = match (self.permission, self.config.max_messages_per_second) {
            (Permission::One, _) => 1,
            (_, Some(rate)) => BATCH_MESSAGES.min((rate / 10.0).ceil() as u64),
            (_, None) => BATCH_MESSAGES,
        };
        let mut gathering = Gathering {
            first_id: self.next_id,
            ..Gathering::default()
        };
        let (mut busy, mut files) = (false, 0);
        loop {
            let offered = gathering.offered;
            let is_full = offered.messages >= most || offered.bytes >= BATCH_BYTES;
            if is_full || (offered.cost() >= room && !offered.is_zero()) {
                break;
            }
            let Some((id, mut lines)) = self.reading.take() else {
                if files >= BATCH_MESSAGES || !self.begin_next() {
                    break;
                }
                (busy, files) = (true, files + 1);
                continue;
            };
            busy = true;
            match self.read_line(id, &mut lines, &mut gathering, offers) {
                Next::GoOn => self.reading = Some((id, lines)),
                Next::Ended => {
                    if let Some(pass) = self.passes.get_mut(&id) {
                        pass.ended = true;
                    }
                    if gathering.offered.is_zero() {
                        // It may be through; whatever comes of that comes first.
                        return true;
                    }
                }
            }
        }
        if gathering.offered.is_zero() {
            return busy;
        }
        self.offered_one = true;
        if let Some(rate) = self.config.max_messages_per_second {
            let time = Duration::from_secs_f64(gathering.offered.messages as f64 / rate);
            self.paced_until = self.paced_until.max(now()) + time;
        }
        let Gathering {
            first_id, batch, ..
        } = gathering;
        offers(Offer::Messages { first_id, batch });
        true
    }

    fn read_line(
        &mut self,
        id: SegmentId,
        lines: &mut Lines,
        gathering: &mut Gathering,
        offers: &Offers,
    ) -> Next {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return self.end_of_lines(id, lines),
            Err(error) => {
                if self.backlog.read_failed(id, &error) {
                    lines.skip_what_is_lost();
                    return Next::GoOn;
                }
                return Next::Ended;
            }
        };
        let (offset, next, is_ended) = (line.offset, line.next, line.is_ended);
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return Next::Ended;
        };
        if !is_ended && !segment.is_certain && segment.waited_at != segment.length {
            // Its writer may be about to write the rest.
            segment.waited_at = segment.length;
            segment.blocked_until = Some(now() + GRACE);
            return Next::Ended;
        }
        let (parsed, is_lost) = match line.content {
            Content::Text(text) => (record::parse(text), false),
            Content::NotKept => (Err(Unreadable::NotKept), false),
            Content::Lost => (Err(Unreadable::Lost), true),
        };
        let message = match parsed {
            Ok(message) => message,
            Err(why) if why.is_for_later() => {
                let is_new = !segment.ledger.is_held(offset);
                if !segment.ledger.hold(offset, next) {
                    warn!(
                        name = segment.name,
                        "a fallback file has too many lines that this version cannot publish; the rest of it waits for a version that can"
                    );
                    return Next::Ended;
                }
                if is_new {
                    warn!(
                        name = segment.name,
                        offset,
                        "a line is held back until a version comes that can publish it: {why}"
                    );
                }
                segment.ledger.read_to(next);
                return Next::GoOn;
            }
            Err(why) => {
                let reject = Reject {
                    offset,
                    next,
                    reason: why.to_string(),
                    is_lost,
                };
                if segment.ledger.is_unread(offset) && !self.reject(id, reject) {
                    return Next::Ended;
                }
                return self.read_to(id, offset, next);
            }
        };
        let topic = self.topics.intern_filed(&message.topic);
        if !segment.ledger.is_due(offset, topic, &self.halted) {
            segment.ledger.read_to(next);
            return Next::GoOn;
        }
        let now = now_ms();
        let age = message.queued_at().map(|at| now.saturating_sub(at));
        if let (Some(most), Some(age)) = (self.config.max_age, age)
            && age > most.as_millis() as i64
        {
            let reject = Reject {
                offset,
                next,
                reason: "the message is older than fallback.maxAge".into(),
                is_lost: false,
            };
            if !self.reject(id, reject) {
                return Next::Ended;
            }
            return self.read_to(id, offset, next);
        }
        if self.single_topic && gathering.topic.is_some_and(|other| other != topic) {
            let batch = std::mem::take(&mut gathering.batch);
            let first_id = std::mem::replace(&mut gathering.first_id, self.next_id);
            offers(Offer::Messages { first_id, batch });
        }
        gathering.topic = Some(topic);
        let content = message::Content {
            key: message.key.as_deref().unwrap_or_default(),
            value: message.value.as_deref().unwrap_or_default(),
            headers: &message.headers,
        };
        let amount = content.amount();
        let local = segment.ledger.sent(offset, next, topic, amount.cost());
        segment.ledger.read_to(next);
        gathering.offered.add(amount);
        // A time that has not come is a clock's mistake, for which brokers refuse it; unless it is the
        // caller's.
        let latest = if message.queued.is_some() {
            i64::MAX
        } else {
            now
        };
        let time = message.timestamp.map_or(0, |at| at.clamp(0, latest));
        let record = Record {
            partition: message.partition.unwrap_or(ANY_PARTITION),
            traits: Traits::default()
                .with_if(Traits::KEYLESS, message.key.is_none())
                .with_if(Traits::VALUELESS, message.value.is_none())
                .with_if(Traits::PARTITION_GIVEN, message.partition.is_some()),
            ..Record::of(topic, time)
        };
        gathering.batch.push(record, content);
        self.number(id, local);
        Next::GoOn
    }

    fn read_to(&mut self, id: SegmentId, offset: u64, next: u64) -> Next {
        match self.backlog.segment(id) {
            Some(segment) => {
                segment.ledger.let_go(offset, next);
                segment.ledger.read_to(next);
                Next::GoOn
            }
            None => Next::Ended,
        }
    }

    /// The end of what is counted, or of the file.
    fn end_of_lines(&mut self, id: SegmentId, lines: &mut Lines) -> Next {
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return Next::Ended;
        };
        // It may have been counted further meanwhile.
        if lines.end() < segment.counted() {
            lines.stop_at(segment.counted());
            return Next::GoOn;
        }
        if segment.is_counted() {
            segment.ledger.read_to(segment.length);
            return Next::Ended;
        }
        let counted = self
            .backlog
            .directory()
            .and_then(|directory| self.backlog.count_on(&directory, id));
        match counted {
            Ok(_) => {
                let to = self.backlog.segments.get(&id).map_or(0, |s| s.counted());
                lines.stop_at(to);
                Next::GoOn
            }
            Err(error) if self.backlog.read_failed(id, &error) => {
                lines.skip_what_is_lost();
                Next::GoOn
            }
            Err(_) => Next::Ended,
        }
    }

    /// The message has the next number.
    fn number(&mut self, id: SegmentId, local: u64) {
        let Some(pass) = self.passes.get(&id) else {
            return;
        };
        let number = self.next_id;
        self.next_id += 1;
        if let Some(run) = self.runs.back_mut()
            && run.segment == id
            && run.pass == pass.serial
            && run.first + run.count == number
            && run.local + run.count == local
        {
            run.count += 1;
            run.left += 1;
            return;
        }
        self.runs.push_back(Run {
            first: number,
            count: 1,
            left: 1,
            segment: id,
            pass: pass.serial,
            local,
        });
    }

    /// A line that will never be delivered is kept beside its file. Returns whether that was possible.
    fn reject(&mut self, id: SegmentId, reject: Reject) -> bool {
        let (offset, why) = (reject.offset, reject.reason.clone());
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return false;
        };
        let modes = self.instance.modes();
        let kept = self
            .instance
            .open_directory()
            .and_then(|directory| segment.reject(&directory, reject, modes));
        if let Err(error) = kept {
            self.backlog
                .failed(id, "has a line that cannot be kept apart", &error);
            return false;
        }
        segment.messages = segment.messages.saturating_sub(1);
        let path = self.instance.path().join(&segment.name);
        error!(path = %path.display(), offset, "a line cannot be replayed and is kept in the .rejected file: {why}");
        self.statistics.errors(format!("not replayed: {why}"), 1);
        let one = Amount {
            messages: 1,
            bytes: 0,
        };
        self.statistics.transfer(Place::Disk, Place::Rejected, one);
        true
    }

    pub(super) fn refused(&mut self, id: SegmentId, local: u64, why: &str) {
        let place = self
            .backlog
            .segment(id)
            .and_then(|segment| segment.ledger.place_of(local));
        let Some((offset, next)) = place else {
            return;
        };
        let reject = Reject {
            offset,
            next,
            reason: why.to_owned(),
            is_lost: false,
        };
        if self.reject(id, reject) {
            if let Some(segment) = self.backlog.segments.get_mut(&id) {
                segment.ledger.settled(local, &self.halted);
            }
        } else {
            self.came_back(id, local);
            // It is the disk's trouble, not the topic's: the file is what waits.
            self.resumed.extend(self.halted.iter().copied());
        }
    }
}
