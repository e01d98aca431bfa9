//! The transitions from state to state.

use tracing::{info, warn};

use super::Worker;
use super::taking::AfterTaking;
use crate::logging::STATE;
use crate::statistics::State;

impl Worker {
    /// From `Created`: the first `init()` or message.
    pub(super) fn connect(&mut self) {
        if self.state == State::Created {
            self.set_state(State::Connecting);
            self.probing.begin(self.config.retry_window);
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
        self.shared.statistics.set_state(state);
    }

    /// To `FallingBack`: Kafka is away. What librdkafka holds comes back and goes to file first.
    pub(super) fn fall_back(&mut self, why: &str) {
        if !matches!(
            self.state,
            State::Created | State::Connecting | State::Publishing
        ) {
            return;
        }
        warn!(target: STATE,
            "Kafka does not answer ({why}); messages go to {}",
            self.config.fallback.directory.display()
        );
        self.shared
            .statistics
            .error(format!("Kafka does not answer: {why}"));
        self.set_state(State::FallingBack);
        self.probing.schedule(self.config.probe);
        self.take_back(AfterTaking::WriteToFile);
    }

    /// Back to `Publishing`.
    pub(super) fn recover(&mut self) {
        // What was held back belongs before the news that it is over.
        crate::logging::flush_suppressed(true);
        let was = self.state;
        self.set_state(State::Publishing);
        self.cluster.has_answered();
        match was {
            State::FallingBack => info!(target: STATE, "Kafka answers again; publishing"),
            _ => info!(target: STATE, "connected to Kafka; publishing"),
        }
        self.seal();
        self.waiters.settle_init();
    }
}
