//! The oldest message on disk is the trial that ends an outage.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::debug;

use super::Worker;
use crate::kafka::describe;

/// How long it may take where messages wait for ever (`message.timeout.ms: 0`).
const PATIENCE: Duration = Duration::from_secs(30);

impl Worker {
    /// Kafka answers: does it take a message, the oldest one on disk?
    pub(super) fn begin_trial(&mut self) {
        if !self.replay.is_on() {
            return self.recover();
        }
        let window = self.config.retry_window.unwrap_or(PATIENCE);
        self.phase.begin_trial(Instant::now() + window);
        let permit = self.replay.permit_one();
        // First the file that is being written, which may hold the oldest.
        self.writer.seal(permit);
    }

    pub(super) fn check_trial(&mut self) {
        let now = Instant::now();
        if self.phase.trial().is_some_and(|trial| trial.until <= now) {
            self.trial_failed(RDKafkaErrorCode::MessageTimedOut);
        }
    }

    /// No answer about the message. If the cluster still answers, it was its topic's trouble.
    pub(super) fn trial_failed(&mut self, code: RDKafkaErrorCode) {
        let Some(trial) = self.phase.end_trial() else {
            return;
        };
        debug!(
            "the oldest message on disk was not delivered ({})",
            describe(code)
        );
        if let Some(target) = trial.of {
            self.are_troubled(vec![(target, code)]);
        }
        self.probing.is_to_look_again();
    }

    /// Kafka has answered about a message from a file: if that was the trial, the outage is over.
    pub(super) fn trial_was_answered(&mut self) {
        if self.phase.is_trying() {
            self.recover();
        }
    }
}
