//! `end()`, and the end of the process or of its JS environment.

use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use super::replay::Replaying;
use super::taking::AfterTaking;
use super::{Settle, Worker};
use crate::fates::Fate;
use crate::kafka::flush;
use crate::logging::STATE;
use crate::message::Reason;
use crate::statistics::Place;

/// How long a process that ends without `end()` is held up for Kafka's acknowledgements.
pub(super) const EXIT_FLUSH: Duration = Duration::from_millis(500);

/// How long `end()` waits for Kafka when messages wait for ever (`message.timeout.ms: 0`).
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How much longer the end waits for the replayer, should its disk hang.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);

/// How long the end waits for a disk that takes nothing any more.
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// How far an end is with what librdkafka has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remainder {
    /// Nothing has been done about it.
    Landing,
    /// What lingers was sent.
    Flushed,
    /// What librdkafka held was asked back.
    TakenBack,
    /// What librdkafka did not hand back was counted as lost: its reports come too late.
    Lost,
}

/// An end that has begun. The inbox is closed already.
pub(super) struct Ending {
    settles: Vec<Settle>,
    /// What is not acknowledged by then goes to file.
    deadline: Instant,
    remainder: Remainder,
    /// The writer was told to close; what it has not written yet, and since when it is so much.
    closing: Option<(u64, Instant)>,
}

impl Worker {
    pub(super) fn begin_end(&mut self, settle: Option<Settle>, patience: Duration) {
        self.shared.inbox.close();
        let deadline = Instant::now() + patience;
        let ending = self.ending.get_or_insert(Ending {
            settles: Vec::new(),
            deadline,
            remainder: Remainder::Landing,
            closing: None,
        });
        // The more impatient one counts.
        ending.deadline = ending.deadline.min(deadline);
        ending.settles.extend(settle);
        self.waiters.settle_init();
    }

    /// Past its deadline, an end sends everything to file.
    pub(super) fn to_file_at_the_end(&self) -> bool {
        self.ending
            .as_ref()
            .is_some_and(|ending| ending.deadline <= Instant::now())
    }

    /// Whether reports still count.
    pub(super) fn is_past_reports(&self) -> bool {
        self.ending
            .as_ref()
            .is_some_and(|ending| ending.remainder == Remainder::Lost)
    }

    pub(super) fn check_ending(&mut self) {
        let late = self.to_file_at_the_end();
        if self.ending.is_none() || self.phase.is_taking() {
            return;
        }
        if late {
            self.give_up_partitioning();
            self.phase.end_deciding();
            self.settle_handed_back();
        }
        let waiting = !self.shared.inbox.held().is_zero()
            || !self.held_back.is_empty()
            || !self.handed_back.is_empty()
            || self.is_partitioning();
        let in_flight = !self.flight.is_empty();
        // What is not acknowledged in time stays in its file.
        let replaying = !late && !self.replay.is_idle();
        let Some(ending) = &mut self.ending else {
            return;
        };
        if in_flight && ending.remainder == Remainder::Landing {
            ending.remainder = Remainder::Flushed;
            let patience = ending.deadline.saturating_duration_since(Instant::now());
            for producer in self.producers.open() {
                let client = producer.client();
                tokio::task::spawn_blocking(move || flush(&client, patience));
            }
        }
        if in_flight && late {
            if matches!(ending.remainder, Remainder::TakenBack | Remainder::Lost) {
                return self.count_as_lost();
            }
            debug!(
                "Kafka has not acknowledged everything in time: the rest goes to the fallback file"
            );
            ending.remainder = Remainder::TakenBack;
            return self.take_back(AfterTaking::WriteToFile);
        }
        if waiting || in_flight || replaying {
            return;
        }
        self.stop_probing();
        self.finish();
    }

    /// Nothing is left in memory but what the writer has.
    fn finish(&mut self) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        let now = Instant::now();
        let left = self.shared.statistics.counts().writer.messages;
        let (least, since) = ending.closing.get_or_insert_with(|| {
            self.writer.close();
            (left, now)
        });
        if left < *least {
            (*least, *since) = (left, now);
        }
        let hangs = now.duration_since(*since) >= DISK_PATIENCE;
        let overdue = ending.deadline + REPLAY_PATIENCE <= now;
        let is_written = self.writer.has_ended();
        if !is_written && !hangs || !self.close_replay() && !overdue {
            return;
        }
        if is_written {
            self.writer.join();
            self.instance.release();
        }
        self.discard_unwritten();
        let counts = self.shared.statistics.counts();
        if counts.disk.messages > 0 {
            warn!(target: STATE,
                "ended with {} messages in fallback files in {}",
                counts.disk.messages,
                self.config.fallback.directory.display()
            );
        }
        self.phase.end();
        self.tell_state();
        crate::logging::flush_suppressed(true);
        let settles = self.ending.take().map(|ending| ending.settles);
        for settle in settles.into_iter().flatten() {
            settle(Ok(()));
        }
        self.waiters.settle_init();
    }

    /// What the writer still has: its disk hangs, or it has failed.
    fn discard_unwritten(&mut self) {
        let left = self.shared.statistics.give_up_writer();
        if !left.is_zero() {
            error!(
                messages = left.messages,
                "messages discarded: the fallback file takes nothing any more"
            );
        }
    }

    /// Librdkafka hangs and hands nothing back. The end does not wait for it.
    fn count_as_lost(&mut self) {
        let amount = self.shared.statistics.flight();
        error!(
            messages = amount.messages,
            "messages discarded: librdkafka did not hand them back"
        );
        let lost = Place::Discarded(Reason::Ended);
        self.shared.statistics.transfer(Place::Flight, lost, amount);
        self.tell_lost();
        if let Some(ending) = &mut self.ending {
            ending.remainder = Remainder::Lost;
        }
    }

    /// Of what is on its way nothing will be heard.
    fn tell_lost(&mut self) {
        let waiters = self.flight.forget();
        let returned = self.handed_back.take();
        let returned = returned
            .remaining_messages()
            .map(|(record, _)| record.waiter);
        for waiter in waiters.into_iter().chain(returned) {
            let why = "nothing was heard of it before the publisher's end";
            let fate = || Fate::Discarded(Reason::Ended, why.to_owned());
            self.shared.fates.tell(waiter, fate);
        }
    }

    /// A turn panicked, which is a bug: what can be reached goes to file, the rest is counted as
    /// discarded, and nobody waits for ever.
    pub(super) fn give_up(&mut self) {
        error!("the worker failed; the publisher has ended");
        self.shared.inbox.close();
        while let Some(held) = self.next_batch() {
            self.writer.append(held.batch, Place::Worker);
        }
        self.writer.close();
        self.writer.join();
        // Without the worker's end of its channel the replayer ends, too.
        self.replay = Replaying::off();
        self.instance.release();
        self.tell_lost();
        let counts = self.shared.statistics.counts();
        for (place, amount) in [
            (Place::Worker, counts.worker),
            (Place::Flight, counts.flight),
            (Place::Writer, counts.writer),
        ] {
            let lost = Place::Discarded(Reason::Ended);
            self.shared.statistics.transfer(place, lost, amount);
        }
        self.phase.end();
        self.tell_state();
        let settles = self.ending.take().map(|ending| ending.settles);
        for settle in settles.into_iter().flatten() {
            settle(Ok(()));
        }
        self.waiters.dismiss();
    }
}
