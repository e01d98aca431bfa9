//! Taking messages back from librdkafka, and what becomes of them then.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::handed_back::Evidence;
use super::{Held, Worker};
use crate::kafka::{Fleet, describe};
use crate::logging::STATE;
use crate::message::{Batch, now_ms};
use crate::statistics::Place;

/// Longest time that librdkafka is given to hand everything back.
const PURGE_TIMEOUT: Duration = Duration::from_secs(2);
/// What was queued in a pause is handed over so soon after it, or counts as new.
const REMEMBERED: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterTaking {
    /// All of it goes to file.
    WriteToFile,
    /// The producer is replaced, and gets it again.
    Rebuild,
    /// The same, without what is overdue.
    Sort,
    /// A fleet gets it, without what has waited for too long.
    Spread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What was not sent yet was asked for; what was may still be acknowledged.
    Queue,
    /// Everything was asked for.
    All,
}

/// Messages are being taken back, until all are or this is over. Nothing is handed over meanwhile.
#[derive(Debug)]
pub(super) struct Taking {
    stage: Stage,
    pause: Pause,
    until: Instant,
    then: AfterTaking,
}

/// A time in which nothing was handed over: what was queued then has been waiting since then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    began: Instant,
    /// In milliseconds since the Unix epoch.
    began_ms: i64,
    ended: Option<Instant>,
}

impl Pause {
    fn new(began: Instant) -> Self {
        Pause {
            began,
            began_ms: now_ms(),
            ended: None,
        }
    }

    /// Since when a message that was queued at this time, in milliseconds since the Unix epoch, has been
    /// waiting; `None` if that was after the pause.
    pub(super) fn since(&self, queued_ms: i64, now: Instant) -> Option<Instant> {
        let ended = self.ended.filter(|ended| now - *ended < REMEMBERED)?;
        // What had been queued before waited for little until then.
        let after = u64::try_from(queued_ms - self.began_ms).unwrap_or(0);
        let since = self.began + Duration::from_millis(after.min(u64::from(u32::MAX)));
        (since < ended).then_some(since)
    }
}

impl Taking {
    /// `grace`: how long what is on its way may take.
    pub(super) fn new(then: AfterTaking, grace: Duration, now: Instant) -> Self {
        let (stage, patience) = match then {
            AfterTaking::Sort | AfterTaking::Spread => (Stage::Queue, grace),
            AfterTaking::WriteToFile | AfterTaking::Rebuild => (Stage::All, PURGE_TIMEOUT),
        };
        Taking {
            stage,
            pause: Pause::new(now),
            until: now + patience,
            then,
        }
    }

    /// Only what is overdue is wanted.
    pub(super) fn sorts(&self) -> bool {
        self.then == AfterTaking::Sort
    }

    fn ask(&self, main: &Fleet) {
        match self.stage {
            Stage::Queue => main.purge_queue(),
            Stage::All => main.purge(),
        }
    }
}

impl Worker {
    pub(super) fn take_back(&mut self, then: AfterTaking) {
        let now = Instant::now();
        let taking = Taking::new(then, self.cluster.grace(self.oldest_age(now)), now);
        if let Some(main) = self.producers.open_main() {
            taking.ask(main);
        }
        if then == AfterTaking::WriteToFile {
            if let Some(alone) = self.producers.open_alone() {
                alone.purge();
            }
            self.troubles.abandon_trials(now);
        }
        self.phase.begin_taking(taking);
        self.give_up_partitioning();
    }

    pub(super) fn check_taking(&mut self, now: Instant) {
        let Some(taking) = self.phase.taking() else {
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
                taking.ask(main);
            }
            return;
        }
        let then = taking.then;
        self.pause = Some(Pause {
            ended: Some(now),
            ..taking.pause
        });
        self.phase.end_taking();
        match then {
            AfterTaking::WriteToFile => self.settle_handed_back(),
            // A producer that still owes reports is kept, and tried again when Kafka is back.
            _ if owes => self.fall_back("librdkafka does not hand its messages back"),
            AfterTaking::Rebuild => {
                self.producers.close_main();
                self.give_again();
            }
            AfterTaking::Sort | AfterTaking::Spread => {
                let is_ready = self.use_next();
                self.successor_is_there();
                self.sort(now, then == AfterTaking::Sort, is_ready);
            }
        }
        if !self.phase.is_up() {
            self.settle_handed_back();
        }
    }

    /// The producer is of no use any more: a new one gets what this one has.
    pub(super) fn rebuild(&mut self) {
        if self.phase.is_taking() {
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
        if !self.producers.may_replace_main() {
            return self.fall_back("the producer failed again");
        }
        if self.phase.is_up() || !self.flight.main.is_empty() {
            self.take_back(AfterTaking::Rebuild);
        } else {
            self.producers.close_main();
        }
    }

    /// Messages are overdue: librdkafka gives up what it holds, and what is not at fault goes again.
    pub(super) fn take_overdue_back(&mut self, now: Instant) {
        if !self.handed_back.may_sort(now) {
            return;
        }
        debug!("messages are overdue: what librdkafka holds is taken back");
        self.take_back(AfterTaking::Sort);
    }

    /// What is overdue was taken back: the next client is the one that is prepared, or a new one. Returns
    /// whether it need not connect first. One that is about to connect, over a long way, goes on with that.
    fn use_next(&mut self) -> bool {
        if self.producers.is_prepared() {
            self.use_prepared();
            return true;
        }
        if !(self.is_far() && self.producers.is_main_connecting()) {
            self.producers.close_main();
        }
        false
    }

    /// All that was taken back is given to the next producer.
    fn give_again(&mut self) {
        if !self.phase.is_up() {
            return;
        }
        debug!(
            on_their_way = self.handed_back.on_their_way(),
            "all that librdkafka had goes again"
        );
        let since = self.handed_back.since();
        let batch = self.handed_back.take_anew(self.partitioning.is_some());
        self.hold_back(batch, since);
    }

    /// Of what was taken back, the messages of partitions that are at fault go to file, and those that
    /// have waited for too long; the others go again.
    fn sort(&mut self, now: Instant, blames: bool, is_ready: bool) {
        let Some(window) = self.config.retry_window else {
            return self.give_again();
        };
        self.cluster.goes_on(now);
        let is_throttled = self.cluster.is_throttled(now);
        let evidence = Evidence {
            is_ready,
            cluster: &self.cluster,
            window,
            blames: blames && !is_throttled,
            is_throttled,
            is_far: self.is_far(),
            spreads: is_ready && !blames,
            waits_for_all: self.producers.config().waits_for_all_replicas(),
            partitions_are_chosen: self.partitioning.is_some(),
        };
        let sorted = self.handed_back.sort(&evidence, now);
        debug!(
            to_file = sorted.to_file.remaining().messages,
            again = sorted
                .again
                .iter()
                .map(|(batch, _)| batch.remaining().messages)
                .sum::<u64>(),
            on_their_way = sorted.on_their_way,
            slow = sorted.slow,
            "overdue messages were sorted"
        );
        self.are_troubled(sorted.guilty);
        self.writer.append(sorted.to_file, Place::Flight);
        for (batch, since) in sorted.again.into_iter().rev() {
            self.hold_back(batch, since);
        }
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

    /// What was handed back goes to file, in the order in which it was queued.
    pub(super) fn settle_handed_back(&mut self) {
        if self.handed_back.is_empty() || self.phase.is_deciding() {
            return;
        }
        let batch = self.handed_back.take();
        self.writer.append(batch, Place::Flight);
    }
}
