//! The transitions from state to state.

use tracing::{info, warn};

use super::Worker;
use super::taking::AfterTaking;
use crate::logging::STATE;

impl Worker {
    /// From `Created`: the first `init()` or message.
    pub(super) fn connect(&mut self) {
        if self.phase.connect() {
            self.tell_state();
            self.probing.begin(self.config.retry_window);
        }
    }

    /// The state is another one.
    pub(super) fn tell_state(&self) {
        self.shared.statistics.set_state(self.phase.state());
    }

    /// To `FallingBack`: Kafka is away. What librdkafka holds comes back and goes to file first.
    pub(super) fn fall_back(&mut self, why: &str) {
        if self.phase.is_away() || self.phase.is_ended() {
            return;
        }
        warn!(target: STATE,
            "Kafka does not answer ({why}); messages go to {}",
            self.config.fallback.directory.display()
        );
        self.shared
            .statistics
            .error(format!("Kafka does not answer: {why}"));
        self.phase.fall_back();
        self.tell_state();
        self.probing.schedule(self.config.probe);
        self.take_back(AfterTaking::WriteToFile);
    }

    /// Back to `Publishing`.
    pub(super) fn recover(&mut self) {
        // What was held back belongs before the news that it is over.
        crate::logging::flush_suppressed(true);
        let was_away = self.phase.is_away();
        self.phase.recover();
        self.tell_state();
        self.cluster.has_answered();
        if was_away {
            info!(target: STATE, "Kafka answers again; publishing");
        } else {
            info!(target: STATE, "connected to Kafka; publishing");
        }
        self.seal();
        self.waiters.settle_init();
    }

    /// While Kafka is away there is no client but those that still owe something: none tries to connect,
    /// and those that follow wait for nobody's back-off.
    pub(super) fn close_clients_that_are_of_no_use(&mut self) {
        let on_its_way = !self.replay.has_landed();
        if self.phase.is_probing() {
            self.producers.close_prepared();
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
}
