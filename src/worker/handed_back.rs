//! What librdkafka has handed back, until it is clear where to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::cluster::Cluster;
use super::collected::Returned;
use super::troubles::Target;
use crate::message::{Batch, TopicId};

/// Least time between two takings of what is overdue. What waited behind something else has its chance
/// meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// What began to wait within this goes again as one batch.
const TOGETHER: Duration = Duration::from_millis(20);
/// What is overdue to within this is overdue.
const TOLERANCE: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct HandedBack {
    messages: Vec<Returned>,
    /// When overdue messages were last taken back, and when before that.
    last_sort: Option<Instant>,
    sorted_before: Option<Instant>,
}

/// Overdue messages, after it was seen whose fault it is.
pub(super) struct Sorted {
    /// The partitions at fault, and what their messages came back with.
    pub(super) guilty: Vec<(Target, RDKafkaErrorCode)>,
    pub(super) to_file: Batch,
    /// In the order in which they were queued, and since when they have been waiting: that goes on counting.
    pub(super) again: Vec<(Batch, Option<Instant>)>,
    /// How many were on their way, and may have arrived.
    pub(super) on_their_way: usize,
    /// Acknowledgements flow, and take long.
    pub(super) slow: bool,
}

/// What it is seen by.
pub(super) struct Evidence<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) window: Duration,
    /// The next client is connected already.
    pub(super) is_ready: bool,
    /// Nothing is wrong but that there were too few clients.
    pub(super) spreads: bool,
    /// A client takes long to connect.
    pub(super) is_far: bool,
    /// What goes again would wait for the quota again.
    pub(super) is_throttled: bool,
    /// Somebody is at fault.
    pub(super) blames: bool,
    /// Librdkafka waits for the answers of all replicas that are in sync.
    pub(super) waits_for_all: bool,
    /// The user has chosen the partitions.
    pub(super) partitions_are_chosen: bool,
}

impl HandedBack {
    pub(super) fn push(&mut self, returned: Returned) {
        self.messages.push(returned);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.messages.iter().map(|returned| returned.record.topic)
    }

    /// What they came back with, partition by partition.
    pub(super) fn targets(&self) -> impl Iterator<Item = (Target, RDKafkaErrorCode)> {
        self.messages
            .iter()
            .map(|returned| (returned.target(), returned.code))
    }

    /// Since when the oldest has been waiting.
    pub(super) fn since(&self) -> Option<Instant> {
        self.messages
            .iter()
            .filter_map(|returned| returned.since)
            .min()
    }

    /// How many were on their way, and may have arrived.
    pub(super) fn on_their_way(&self) -> usize {
        let is_on_its_way = |it: &&Returned| it.code == RDKafkaErrorCode::PurgeInflight;
        self.messages.iter().filter(is_on_its_way).count()
    }

    /// All of it, in the order in which it was queued.
    pub(super) fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        for returned in self.drain_in_order() {
            batch.push(returned.record, returned.content());
        }
        batch
    }

    /// The same, to be sent again: partitions that librdkafka has chosen are chosen again.
    pub(super) fn take_anew(&mut self, partitions_are_chosen: bool) -> Batch {
        let mut batch = Batch::default();
        for returned in self.drain_in_order() {
            batch.push(
                returned.record_anew(partitions_are_chosen),
                returned.content(),
            );
        }
        batch
    }

    fn drain_in_order(&mut self) -> impl Iterator<Item = Returned> {
        self.messages.sort_by_key(|returned| returned.ticket.number);
        self.messages.drain(..)
    }

    /// Whether overdue messages may be taken back now; then they are.
    pub(super) fn may_sort(&mut self, now: Instant) -> bool {
        if self.last_sort.is_some_and(|last| now - last < PAUSE) {
            return false;
        }
        self.sorted_before = self.last_sort.replace(now);
        true
    }

    /// The messages of partitions that are at fault go to file, and those that have waited for too long;
    /// the others go again.
    pub(super) fn sort(&mut self, evidence: &Evidence<'_>, now: Instant) -> Sorted {
        let window = evidence.window;
        let patience = evidence.cluster.patience(now, window);
        let slow = patience > window;
        let guilty = if evidence.blames {
            self.guilty(evidence, slow, now)
        } else {
            HashMap::new()
        };
        // What goes again has to have a fair chance before it is overdue: less would only keep clients from
        // ever getting anywhere.
        let limit = if evidence.is_throttled {
            Duration::ZERO
        } else if slow && evidence.spreads {
            patience * 3 / 4
        } else if slow && evidence.is_ready {
            patience.saturating_sub(window * 5 / 7)
        } else if slow {
            patience.saturating_sub(window)
        } else if evidence.is_far {
            window / 2
        } else {
            window + PAUSE
        };
        let on_their_way = self.on_their_way();
        let mut to_file = Batch::default();
        let mut again: Vec<(Batch, Option<Instant>)> = Vec::new();
        for returned in self.drain_in_order() {
            let is_late = returned.since.is_some_and(|since| now - since >= limit);
            let whole = Target::topic(returned.record.topic);
            let is_guilty = guilty.contains_key(&returned.target()) || guilty.contains_key(&whole);
            if is_guilty || is_late {
                to_file.push(returned.record, returned.content());
                continue;
            }
            let record = returned.record_anew(evidence.partitions_are_chosen);
            let began = returned.since;
            match again
                .last_mut()
                .filter(|(_, since)| is_together(*since, began))
            {
                Some((batch, _)) => batch.push(record, returned.content()),
                None => {
                    let mut batch = Batch::default();
                    batch.push(record, returned.content());
                    again.push((batch, began));
                }
            }
        }
        Sorted {
            guilty: guilty.into_iter().collect(),
            to_file,
            again,
            on_their_way,
            slow,
        }
    }

    /// The partitions whose fault it is that messages are overdue, and what their messages came back
    /// with.
    fn guilty(
        &self,
        evidence: &Evidence<'_>,
        slow: bool,
        now: Instant,
    ) -> HashMap<Target, RDKafkaErrorCode> {
        let mut overdue: HashMap<Target, bool> = HashMap::new();
        for returned in &self.messages {
            let late = returned
                .since
                .is_some_and(|since| now - since + TOLERANCE >= evidence.window);
            *overdue.entry(returned.target()).or_default() |= late;
        }
        let code = RDKafkaErrorCode::MessageTimedOut;
        let cluster = evidence.cluster;
        let mut guilty: HashMap<Target, RDKafkaErrorCode> = overdue
            .keys()
            .filter(|target| cluster.is_known_to_fail(**target, evidence.waits_for_all, now))
            // A broker that is slow may not have answered in time; one that is silent to us may be in touch
            // with the others.
            .filter(|target| !cluster.was_heard(**target, now))
            .map(|target| (*target, code))
            .collect();
        // With nobody else to blame, it is those that are overdue, and were not heard of.
        if !slow && (guilty.is_empty() || self.was_sorted_lately(now)) {
            for (target, late) in &overdue {
                if *late && !cluster.was_heard(*target, now) {
                    guilty.entry(*target).or_insert(code);
                }
            }
        }
        guilty
    }

    /// Whether overdue messages were taken back after this.
    pub(super) fn was_sorted_since(&self, time: Instant) -> bool {
        self.last_sort.is_some_and(|last| last >= time)
    }

    fn was_sorted_lately(&self, now: Instant) -> bool {
        self.sorted_before
            .is_some_and(|before| now - before < PAUSE * 4)
    }
}

/// Whether what began to wait at these times is of one age.
fn is_together(first: Option<Instant>, then: Option<Instant>) -> bool {
    match (first, then) {
        (Some(first), Some(then)) => then.max(first) - then.min(first) < TOGETHER,
        (first, then) => first == then,
    }
}
