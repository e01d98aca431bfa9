//! What came back from librdkafka, and what follows from it.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, info, warn};

use super::Worker;
use super::collected::{Collected, Returned};
use super::flight::Carrier;
use super::troubles::Target;
use super::verdict::{Case, Extent, Verdict, decide, is_old};
use crate::fates::Fate;
use crate::kafka::{Origin, Outcome, Ticket, classify, describe};
use crate::logging::STATE;
use crate::message::{ANY_PARTITION, Batch, Reason, TopicId, now_ms};
use crate::statistics::Place;

/// So many partitions are named in one line of the log.
const NAMED: usize = 10;

impl Worker {
    /// Serves delivery reports and errors. Returns whether there were any.
    pub(super) fn poll_reports(&mut self) -> bool {
        if self.is_past_reports() {
            return false;
        }
        let mut any = self.poll_main();
        any |= self.poll_alone();
        any |= self.poll_replay();
        if !self.phase.is_taking() {
            self.settle_handed_back();
        }
        any
    }

    fn poll_main(&mut self) -> bool {
        let wants_receipts = self.flight.is_awaited();
        let Some(main) = self.producers.open_main() else {
            return false;
        };
        let mut collected = Collected::new(wants_receipts);
        let any = main.poll(&mut collected);
        if any {
            self.phase.has_room_again();
        }
        let throttled = main.throttled_until();
        // After a fatal error, what a report says of its message is a consequence.
        let is_fatal = !collected.failed.is_empty() && main.fatal_error().is_some();
        self.is_throttled(throttled);
        self.delivered(&collected, Carrier::Main);
        if !collected.acknowledged.is_empty() {
            self.producers.main_has_begun();
        }
        for what in &collected.acknowledged {
            self.flight.came_back(what.topic, what.messages);
        }
        for (code, text) in std::mem::take(&mut collected.errors) {
            self.cluster_error(code, &text);
        }
        for mut returned in collected.failed {
            returned.since = self.flight.main.done(returned.ticket.number);
            self.flight.came_back(returned.record.topic, 1);
            self.flight.complete(&mut returned);
            if is_fatal {
                self.handed_back.push(returned);
                self.rebuild();
            } else {
                self.not_delivered(returned, false);
            }
        }
        any
    }

    fn is_throttled(&mut self, until: Option<Instant>) {
        let now = Instant::now();
        let Some(until) = until else {
            return;
        };
        if self.cluster.is_throttled_until(until, now) {
            let ms = until.saturating_duration_since(now).as_millis();
            warn!(
                "Kafka holds this client up for {ms} ms, because of a quota; what is not taken in time goes to the fallback file"
            );
        }
    }

    /// Messages that went alone, live ones and those from files.
    fn poll_alone(&mut self) -> bool {
        let wants_receipts = self.flight.is_awaited();
        let Some(alone) = self.producers.open_alone() else {
            return false;
        };
        let mut collected = Collected::new(wants_receipts);
        let any = alone.poll(&mut collected);
        for number in &collected.numbers {
            self.was_answered(Ticket::live(*number));
        }
        self.delivered(&collected, Carrier::Alone);
        self.replay_delivered(&collected);
        let mut is_silent = false;
        for mut returned in collected.failed {
            is_silent |= classify(returned.code) == Outcome::Silence;
            if returned.ticket.origin == Origin::File {
                self.replay_returned(&returned, true);
                continue;
            }
            returned.since = self.flight.alone.done(returned.ticket.number);
            self.flight.complete(&mut returned);
            self.not_delivered(returned, true);
        }
        // The next one connects at once, and does not wait for this one's back-off. Over a long way, this one
        // may be about to connect.
        if is_silent && !self.is_far() && self.flight.alone.is_empty() && self.replay.has_landed() {
            self.producers.close_alone();
        }
        any
    }

    /// Live messages were delivered.
    fn delivered(&mut self, collected: &Collected, by: Carrier) {
        if collected.delivered.is_zero() {
            return;
        }
        let now = Instant::now();
        let latencies = self.flight.delivered(by, &collected.numbers, now);
        let awaited = self.flight.awaited(&collected.numbers, &collected.receipts);
        if !awaited.is_empty() {
            let fates = awaited.into_iter();
            let fates = fates.map(|(waiter, receipt)| (waiter, Fate::Delivered(receipt)));
            self.shared.fates.tell_all(fates);
        }
        self.cluster
            .has_acknowledged(&collected.acknowledged, &latencies, now);
        self.shared
            .statistics
            .delivered(collected.delivered, &latencies);
        if self.phase.is_connecting() {
            self.recover();
        }
        self.probing.succeeded();
    }

    /// Kafka has answered about this message: if it was a trial, that trouble is over.
    pub(super) fn was_answered(&mut self, ticket: Ticket) {
        let Some(target) = self.troubles.trial_of(ticket) else {
            return;
        };
        if self.ending.is_none() {
            self.reach(target, ticket);
        } else {
            self.trial_is_over(ticket);
        }
    }

    pub(super) fn trial_is_over(&mut self, ticket: Ticket) {
        let Some(target) = self.troubles.answered(ticket, Instant::now()) else {
            return;
        };
        let topic = self.shared.topics.name(target.topic);
        if self.troubles.is_topic_ill(target.topic) {
            debug!(
                partition = target.partition,
                "topic {topic} takes messages again in this partition"
            );
        } else {
            info!(target: STATE, "topic {topic} takes messages again");
        }
        self.seal();
    }

    /// One live message failed. What has to wait for a decision is kept in `returned`.
    fn not_delivered(&mut self, returned: Returned, alone: bool) {
        let alone = alone || returned.bytes.len() as u64 > self.producers.config().batch_size;
        let now = Instant::now();
        let ticket = returned.ticket;
        let verdict = decide(Case {
            outcome: classify(returned.code),
            origin: Origin::Live,
            alone,
            is_old: is_old(returned.record.timestamp),
            answered_lately: self.cluster.answered_lately(),
            tries: 1,
        });
        match verdict {
            Verdict::Discard(reason) => return self.refused(&returned, reason),
            Verdict::Smaller => {
                self.batch_was_too_large();
                return self.send_alone(returned);
            }
            // What is wrong shows later, if its topic is in trouble anyway.
            Verdict::Alone if !self.troubles.is_topic_ill(returned.record.topic) => {
                return self.send_alone(returned);
            }
            Verdict::Trouble(extent) => self.is_troubled(&returned, extent),
            Verdict::Inquire => self.inquire(),
            Verdict::Rebuild => self.rebuild(),
            Verdict::File | Verdict::Alone | Verdict::Reject | Verdict::Retime => {}
        }
        self.troubles.abandon_trial(ticket, now);
        self.handed_back.push(returned);
    }

    /// A live message will never be taken.
    fn refused(&mut self, returned: &Returned, reason: Reason) {
        self.cluster.has_answered();
        self.was_answered(returned.ticket);
        let (topic, amount) = (returned.record.topic, returned.amount());
        if reason == Reason::TooLarge {
            self.sizes.remember(topic, amount.bytes, Instant::now());
        }
        let why = describe(returned.code);
        if self.config.fallback.keep_refused {
            let mut batch = Batch::default();
            batch.push(returned.record, returned.content());
            self.writer.keep_refused(batch, Place::Flight, reason, why);
        } else {
            self.discard(
                Place::Flight,
                reason,
                amount,
                (topic, returned.record.waiter),
                &why,
            );
        }
    }

    /// A batch was refused; which of its messages is at fault shows when each goes alone.
    fn send_alone(&mut self, returned: Returned) {
        let ticket = Ticket::live(self.flight.next());
        let name = self.shared.topics.name(returned.record.topic);
        let sent = self.producers.alone().map(|alone| {
            let content = returned.content();
            alone.produce(&returned.record, || name, content, ticket, now_ms())
        });
        match sent {
            Some(Ok(())) => self.flight.sent_alone(&returned.record, Instant::now()),
            Some(Err(RDKafkaErrorCode::MessageSizeTooLarge)) => {
                self.refused(&returned, Reason::TooLarge);
            }
            _ => self.handed_back.push(returned),
        }
    }

    /// A batch was refused as too large: the next ones are smaller.
    fn batch_was_too_large(&mut self) {
        if self.producers.shrink_main() {
            self.phase.begin_renewing(Instant::now());
        }
    }

    fn cluster_error(&mut self, code: RDKafkaErrorCode, text: &str) {
        self.shared
            .statistics
            .error(format!("{}: {text}", describe(code)));
        let refuses_idempotence = matches!(
            code,
            RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::UnsupportedVersion
        );
        if refuses_idempotence && self.producers.give_up_idempotence() {
            info!(target: STATE,
                "the cluster takes no idempotent producer ({text}); going on with an ordinary one, one request at a time"
            );
            self.rebuild();
        } else if self
            .producers
            .open_main()
            .is_some_and(|main| main.fatal_error().is_some())
        {
            self.rebuild();
        } else {
            let kind = describe(code);
            warn!(kind, "Kafka: {text}");
        }
    }

    /// A message has shown that its partition, or its topic, takes none.
    pub(super) fn is_troubled(&mut self, returned: &Returned, extent: Extent) {
        let target = match extent {
            Extent::Partition => returned.target(),
            Extent::Topic => Target::topic(returned.record.topic),
        };
        self.are_troubled(vec![(target, returned.code)]);
    }

    pub(super) fn are_troubled(&mut self, mut targets: Vec<(Target, RDKafkaErrorCode)>) {
        let now = Instant::now();
        targets.sort_by_key(|(target, _)| (target.topic.0, target.partition));
        let mut news: BTreeMap<u32, (String, Vec<i32>)> = BTreeMap::new();
        for (target, code) in targets {
            let why = describe(code);
            let was_ill = self.troubles.is_topic_ill(target.topic);
            let name = self.shared.topics.name(target.topic);
            self.shared.statistics.error(format!("topic {name}: {why}"));
            let is_news = self.troubles.trip(target, now);
            if let Some(count) = self.cluster.partitions_of(target.topic) {
                self.troubles.has_partitions(target.topic, count);
            }
            let known = news.contains_key(&target.topic.0);
            if is_news && (known || !was_ill) {
                let (_, partitions) = news
                    .entry(target.topic.0)
                    .or_insert_with(|| (why, Vec::new()));
                partitions.push(target.partition);
            } else if is_news {
                debug!(
                    partition = target.partition,
                    "topic {name} takes no messages in one more partition ({why})"
                );
            }
        }
        for (topic, (why, partitions)) in news {
            let name = self.shared.topics.name(TopicId(topic));
            let which = in_partitions(&partitions);
            warn!(target: STATE,
                "topic {name} takes no messages{which} ({why}); they go to the fallback file, others flow on"
            );
        }
    }
}

fn in_partitions(partitions: &[i32]) -> String {
    if partitions.contains(&ANY_PARTITION) {
        return String::new();
    }
    let named: Vec<String> = partitions.iter().take(NAMED).map(i32::to_string).collect();
    let word = if partitions.len() == 1 {
        "partition"
    } else {
        "partitions"
    };
    let more = if partitions.len() > NAMED {
        ", …"
    } else {
        ""
    };
    format!(" in {word} {}{more}", named.join(", "))
}
