//! What the worker does for the messages that come from files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Worker;
use super::collected::{Collected, Returned};
use super::replay::{Action, Context, Progress, Replaying};
use super::signals::Signal;
use crate::fallback::{Offer, ReplayerParts};
use crate::kafka::{Ticket, describe};
use crate::message::Amount;

/// How long after a live message there is less room for those from files.
const LIVE_MEMORY: Duration = Duration::from_secs(1);
/// The file that is being written is sealed after this, so that it can be replayed while Kafka is there…
const SEAL_AFTER: Duration = Duration::from_secs(1);
/// …but less often while a topic is in trouble, which would make one small file after the other.
const SEAL_AFTER_IN_TROUBLE: Duration = Duration::from_secs(60);

impl Worker {
    pub(super) fn start_replayer(&mut self) {
        if !self.config.fallback.replay.enabled {
            return;
        }
        let parts = ReplayerParts {
            config: self.config.fallback.replay,
            instance: Arc::clone(&self.instance),
            topics: Arc::clone(&self.shared.topics),
            statistics: Arc::clone(&self.shared.statistics),
            share: self.shared.inbox.limits().replay,
            single_topic: self.partitioning.is_some(),
        };
        let send = self.signals.sender();
        let offers = Box::new(move |offer| send(Signal::Offer(offer)));
        self.replay = Replaying::start(parts, offers, self.shared.log.clone());
    }

    pub(super) fn hear_offer(&mut self, offer: Offer) {
        if let Some(action) = self.replay.hear(offer, &self.phase) {
            self.carry_out(action);
        }
    }

    /// One turn. Returns whether there was anything to do.
    pub(super) fn replay(&mut self) -> bool {
        if !self.replay.is_on() {
            return false;
        }
        let is_ending = self.ending.is_some();
        self.replay
            .check_permission(&self.phase, is_ending, &self.producers);
        self.check_trial();
        self.replay.resume_topics(&self.troubles);
        let mut busy = self.hand_files_over();
        self.seal_for_replay();
        busy |= self.replay.tell_verdicts();
        let on_its_way = self.replay.on_its_way();
        self.shared.statistics.set_replaying(on_its_way);
        busy
    }

    /// Hands messages to librdkafka while live ones leave room.
    fn hand_files_over(&mut self) -> bool {
        let mut busy = false;
        self.replay.check_renewal(&mut self.producers);
        while self.live_leaves_room() {
            let (replay, mut context) = self.replaying();
            match replay.hand_over(&mut context) {
                Progress::Nothing => break,
                Progress::Some => {}
                Progress::Full => return true,
                Progress::Act(action) => self.carry_out(action),
            }
            busy = true;
        }
        busy
    }

    fn live_leaves_room(&self) -> bool {
        let inbox = &self.shared.inbox;
        self.held_back.is_empty()
            && !self.phase.is_taking()
            && inbox.held().cost() <= inbox.limits().low
    }

    fn replaying(&mut self) -> (&mut Replaying, Context<'_>) {
        let context = Context {
            shared: &self.shared,
            producers: &mut self.producers,
            troubles: &mut self.troubles,
            sizes: &self.sizes,
            spreading: &self.spreading,
            trial: self.phase.trial(),
            answered_lately: self.cluster.answered_lately(),
            beside_live: self.flight.was_fed_within(LIVE_MEMORY),
            partitioner: self.partitioning.as_ref().map(|it| it.is_idle()),
        };
        (&mut self.replay, context)
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect => self.connect(),
            Action::Recover => self.recover(),
            Action::Partition(batch) => self.partition_replayed(batch),
            Action::Rejected { ticket, too_large } => {
                if let Some((topic, size)) = too_large {
                    self.sizes.remember(topic, size, Instant::now());
                }
                self.cluster.has_answered();
                self.was_answered(ticket);
                self.trial_was_answered();
            }
            Action::GoesAgain(ticket) => {
                self.cluster.has_answered();
                self.troubles.abandon_trial(ticket, Instant::now());
                self.trial_was_answered();
            }
            Action::Stays(ticket) => self.troubles.abandon_trial(ticket, Instant::now()),
            Action::Trouble(target, code) => {
                self.are_troubled(vec![(target, code)]);
                self.trial_was_answered();
            }
            Action::TrialFailed(code) => self.trial_failed(code),
            Action::Inquire => self.inquire(),
        }
    }

    /// Serves the reports of the replay's own producer.
    pub(super) fn poll_replay(&mut self) -> bool {
        let mut collected = Collected::default();
        let Some(producer) = self.producers.open_replay() else {
            return false;
        };
        let any = producer.poll(&mut collected);
        let fatal = producer.fatal_error();
        if !collected.replayed.is_empty() {
            self.producers.replay_has_begun();
        }
        self.replay_delivered(&collected);
        for returned in collected.failed {
            self.replay_returned(&returned, false);
        }
        if let Some((code, text)) = fatal {
            if self.replay.has_landed() {
                warn!(
                    "librdkafka gave up replaying ({}: {text}); its producer is made anew",
                    describe(code)
                );
                self.producers.close_replay();
            } else if let Some(producer) = self.producers.open_replay() {
                producer.purge();
            }
        }
        any
    }

    pub(super) fn replay_delivered(&mut self, collected: &Collected) {
        if collected.replayed.is_empty() {
            return;
        }
        self.replay.delivered(collected);
        self.cluster.has_answered();
        for number in &collected.replayed {
            self.was_answered(Ticket::file(*number));
        }
        self.trial_was_answered();
        self.probing.succeeded();
    }

    /// A message from a file that was not delivered. `alone`: it was no part of a batch.
    pub(super) fn replay_returned(&mut self, returned: &Returned, alone: bool) {
        let (replay, context) = self.replaying();
        let action = replay.returned(returned, alone, &context);
        self.carry_out(action);
    }

    /// While Kafka is there, what was written to file is sealed soon, and so replayed.
    fn seal_for_replay(&mut self) {
        if !self.phase.is_publishing() {
            return;
        }
        let Some(since) = self.writer.unsealed_since() else {
            return;
        };
        // A topic whose messages are in sealed files already has its trial from there.
        let patience = if self.replay.holds_back() && self.troubles.is_any_open() {
            SEAL_AFTER_IN_TROUBLE
        } else {
            SEAL_AFTER
        };
        if since.elapsed() >= patience {
            self.seal();
        }
    }

    /// Seals the current file, and tells the replayer.
    pub(super) fn seal(&mut self) {
        self.writer.seal(self.replay.on_sealed());
    }

    /// The publisher ends: the replayer writes down where it is. Returns whether it has.
    pub(super) fn close_replay(&mut self) -> bool {
        let is_closed = self.replay.close();
        if is_closed {
            self.shared.statistics.set_replaying(Amount::default());
        }
        is_closed
    }
}
