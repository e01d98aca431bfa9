//! Taking messages back from librdkafka, and what becomes of them then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, warn};

use super::troubles::Target;
use super::{Held, Worker};
use crate::kafka::describe;
use crate::logging::STATE;
use crate::message::{ANY_PARTITION, Batch};
use crate::statistics::{Place, State};

/// Longest time that librdkafka is given to hand everything back.
const PURGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what is on its way may still be acknowledged, when only what is overdue is wanted back.
const GRACE: Duration = Duration::from_millis(500);
/// Least time between two such takings. What waited behind something else has its chance meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// A producer that fails for good again within this time is not replaced at once.
const REBUILD_PAUSE: Duration = Duration::from_secs(10);
/// What was found out about the cluster is believed for so long.
const BELIEVED: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterTaking {
    /// All of it goes to file.
    WriteToFile,
    /// The producer is replaced, and gets it again.
    Rebuild,
    /// The same, without what is overdue.
    Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What was not sent yet was asked for; what was may still be acknowledged.
    Queue,
    /// Everything was asked for.
    All,
}

/// Messages are being taken back, until all are or this is over. Nothing is handed over meanwhile.
pub(super) struct Taking {
    stage: Stage,
    until: Instant,
    then: AfterTaking,
}

impl Worker {
    pub(super) fn take_back(&mut self, then: AfterTaking) {
        let now = Instant::now();
        let stage = if then == AfterTaking::Sort {
            Stage::Queue
        } else {
            Stage::All
        };
        if let Some(main) = self.producers.open_main() {
            match stage {
                Stage::Queue => main.purge_queue(),
                Stage::All => main.purge(),
            }
        }
        if then == AfterTaking::WriteToFile {
            if let Some(alone) = self.producers.open_alone() {
                alone.purge();
            }
            self.troubles.abandon_trials(now);
        }
        let patience = match stage {
            Stage::Queue => GRACE,
            Stage::All => PURGE_TIMEOUT,
        };
        self.taking = Some(Taking {
            stage,
            until: now + patience,
            then,
        });
        if then != AfterTaking::Sort {
            self.stop_deciding();
        }
        self.give_up_partitioning();
    }

    pub(super) fn check_taking(&mut self, now: Instant) {
        let Some(taking) = &mut self.taking else {
            return;
        };
        let owes = if taking.then == AfterTaking::WriteToFile {
            !self.flight.is_empty()
        } else {
            !self.flight.main.is_empty()
        };
        if owes && now < taking.until {
            return;
        }
        if owes && taking.stage == Stage::Queue {
            taking.stage = Stage::All;
            taking.until = now + PURGE_TIMEOUT;
            if let Some(main) = self.producers.open_main() {
                main.purge();
            }
            return;
        }
        let then = taking.then;
        self.taking = None;
        match then {
            AfterTaking::WriteToFile => self.settle_returned(),
            // A producer that still owes reports is kept, and tried again when Kafka is back.
            _ if owes => self.fall_back("librdkafka does not hand its messages back"),
            AfterTaking::Rebuild => {
                self.producers.close_main();
                self.give_again();
            }
            AfterTaking::Sort => {
                self.producers.close_main();
                self.sort(now);
            }
        }
        if matches!(self.state, State::FallingBack | State::Ended) {
            self.settle_returned();
        }
    }

    /// While Kafka is away there is no client but those that still owe something: none tries to connect,
    /// and those that follow wait for nobody's back-off.
    pub(super) fn close_clients_that_are_of_no_use(&mut self) {
        let on_its_way = self
            .replay
            .as_ref()
            .is_some_and(|replay| !replay.has_landed());
        let trial = self
            .replay
            .as_ref()
            .is_some_and(|replay| replay.is_trying());
        if self.state == State::FallingBack && self.taking.is_none() && !trial {
            if self.flight.main.is_empty() {
                self.producers.close_main();
            }
            if self.flight.alone.is_empty() && !on_its_way {
                self.producers.close_alone();
                self.producers.close_replay();
            }
            return;
        }
        self.producers
            .close_idle(self.flight.alone.is_empty() && !on_its_way, !on_its_way);
    }

    /// The producer is of no use any more: a new one gets what this one has.
    pub(super) fn rebuild(&mut self) {
        if self.taking.is_some() {
            return;
        }
        if let Some((code, text)) = self
            .producers
            .open_main()
            .and_then(|main| main.fatal_error())
        {
            let why = format!("{}: {text}", describe(code));
            warn!(target: STATE, "librdkafka gave up ({why}); the producer is made anew");
            self.shared.statistics.error(why);
        }
        if self
            .last_rebuild
            .is_some_and(|last| last.elapsed() < REBUILD_PAUSE)
        {
            self.fall_back("the producer failed again");
            return;
        }
        self.last_rebuild = Some(Instant::now());
        self.take_back(AfterTaking::Rebuild);
    }

    /// Messages are overdue: librdkafka gives up what it holds, and what is not at fault goes again.
    pub(super) fn take_overdue_back(&mut self, now: Instant) {
        if self.last_sort.is_some_and(|last| now - last < PAUSE) {
            return;
        }
        debug!("messages are overdue: what librdkafka holds is taken back");
        self.sorted_before = self.last_sort.replace(now);
        self.take_back(AfterTaking::Sort);
    }

    /// All that was taken back is given to the next producer.
    fn give_again(&mut self) {
        if !matches!(self.state, State::Connecting | State::Publishing) {
            return;
        }
        let since = self
            .returned
            .iter()
            .filter_map(|returned| returned.since)
            .min();
        let batch = self.batch_of_returned();
        self.hold_back(batch, since);
    }

    /// Of what was taken back, the messages of partitions that are at fault go to file, and those that
    /// have waited for too long; the others go again.
    fn sort(&mut self, now: Instant) {
        let Some(window) = self.config.retry_window else {
            return self.give_again();
        };
        let patience = self.pulse.patience(now, window);
        let slow = patience > window;
        let guilty = self.guilty(now, window, slow);
        // The second time around it is too late for a third.
        let limit = if slow {
            patience * 3 / 4
        } else {
            window + PAUSE
        };
        self.returned.sort_by_key(|returned| returned.ticket.number);
        let (mut to_file, mut again, mut since) = (Batch::default(), Batch::default(), None);
        for returned in self.returned.drain(..) {
            let whole = Target::topic(returned.record.topic);
            let is_guilty = guilty.contains_key(&returned.target()) || guilty.contains_key(&whole);
            let is_late = returned.since.is_some_and(|since| now - since >= limit);
            if is_guilty || is_late {
                to_file.push(returned.record, returned.key(), returned.value());
                continue;
            }
            // While acknowledgements flow, what goes again is waited for anew.
            if !slow {
                since = since.into_iter().chain(returned.since).min();
            }
            let mut record = returned.record;
            if self.partitioning.is_none() {
                // Chosen by librdkafka: it, or what is known of troubles, chooses again.
                record.partition = ANY_PARTITION;
            }
            again.push(record, returned.key(), returned.value());
        }
        debug!(
            to_file = to_file.remaining().messages,
            again = again.remaining().messages,
            slow,
            "overdue messages were sorted"
        );
        self.are_troubled(guilty.into_iter().collect());
        self.writer.append(to_file, Place::Flight);
        self.hold_back(again, since);
    }

    fn hold_back(&mut self, batch: Batch, since: Option<Instant>) {
        if batch.is_empty() {
            return;
        }
        self.shared
            .statistics
            .transfer(Place::Flight, Place::Worker, batch.remaining());
        self.held_back.push_front(Held { batch, since });
    }

    /// The partitions whose fault it is that messages are overdue, and what their messages came back
    /// with.
    fn guilty(
        &self,
        now: Instant,
        window: Duration,
        slow: bool,
    ) -> HashMap<Target, RDKafkaErrorCode> {
        let mut overdue: HashMap<Target, bool> = HashMap::new();
        for returned in &self.returned {
            let late = returned
                .since
                .is_some_and(|since| now - since + Duration::from_millis(10) >= window);
            *overdue.entry(returned.target()).or_default() |= late;
        }
        let code = RDKafkaErrorCode::MessageTimedOut;
        let findings = self.findings.as_ref().filter(|it| now - it.at < BELIEVED);
        let waits_for_all = self.producers.config().waits_for_all_replicas();
        let mut guilty = HashMap::new();
        for target in overdue.keys() {
            let Some(findings) = findings else { break };
            let described = findings.described.topics.iter();
            let partitions = described
                .filter(|(topic, _)| *topic == target.topic)
                .flat_map(|(_, partitions)| partitions);
            let Some(found) = partitions.clone().find(|it| it.id == target.partition) else {
                continue;
            };
            let is_silent = |broker: &i32| findings.silent.contains(broker);
            if found.leader < 0
                || is_silent(&found.leader)
                || waits_for_all && found.isr.iter().any(is_silent)
            {
                guilty.insert(*target, code);
            }
        }
        // With nobody else to blame, it is those that are overdue, and were not heard of.
        if !slow && (guilty.is_empty() || self.last_sort_was_lately(now)) {
            for (target, late) in &overdue {
                let heard = self.heard.get(target).is_some_and(|at| now - *at < window);
                if *late && !heard {
                    guilty.entry(*target).or_insert(code);
                }
            }
        }
        guilty
    }

    fn last_sort_was_lately(&self, now: Instant) -> bool {
        self.sorted_before
            .is_some_and(|before| now - before < PAUSE * 4)
    }

    /// What was handed back goes to file, in the order in which it was queued.
    pub(super) fn settle_returned(&mut self) {
        if self.returned.is_empty() || self.is_deciding() {
            return;
        }
        let batch = self.batch_of_returned();
        self.writer.append(batch, Place::Flight);
    }

    fn batch_of_returned(&mut self) -> Batch {
        self.returned.sort_by_key(|returned| returned.ticket.number);
        let mut batch = Batch::default();
        for returned in self.returned.drain(..) {
            batch.push(returned.record, returned.key(), returned.value());
        }
        batch
    }
}
