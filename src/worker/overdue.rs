//! What time brings: messages that are overdue, and what is done before they are.

use std::time::{Duration, Instant};

use super::Worker;
use super::inquiry::INQUIRY_TIMEOUT;

/// How much longer than it should an inquiry is waited for.
const INQUIRY_GRACE: Duration = Duration::from_millis(300);

impl Worker {
    pub(super) fn check_overdue(&mut self, now: Instant) {
        self.nudge(now);
        let Some(window) = self.config.retry_window else {
            return;
        };
        if self.phase.is_taking() || self.phase.is_away() {
            return;
        }
        let age = self.oldest_age(now);
        // The inquiry begins so early that its answer is there when the window ends.
        if age
            < window
                .saturating_sub(self.inquiry_timeout())
                .max(window / 2)
        {
            return;
        }
        let patience = self.cluster.patience(now, window);
        if self.cluster.is_throttled(now) {
            // It has said why.
        } else if patience == window {
            self.inquire();
        } else {
            self.measure_way(now);
            // Connecting takes long, too.
            self.prepare_successor(now);
        }
        let Some(oldest) = self.flight.main.oldest() else {
            return;
        };
        let waits = if self.phase.is_deciding() {
            INQUIRY_GRACE
        } else {
            Duration::ZERO
        };
        let age = now - oldest;
        // Where nobody answers, the inquiry's end is an outage's beginning; but 5 s are 5 s.
        let is_late = age >= (window * 3 / 2).max(window / 2 + INQUIRY_TIMEOUT + INQUIRY_GRACE);
        let is_certain = waits.is_zero() || self.cluster.answered_lately() || is_late;
        if age >= patience + waits && is_certain {
            self.take_overdue_back(now);
        }
    }

    /// Librdkafka's own time-outs are to come in time, too.
    fn nudge(&mut self, now: Instant) {
        if !self.flight.is_empty() || !self.replay.has_landed() {
            self.producers.nudge(now);
        }
    }

    /// How long Kafka has owed an answer, for a live message or for those from files.
    pub(super) fn oldest_age(&self, now: Instant) -> Duration {
        let oldest = self.flight.main.oldest();
        let oldest = oldest.into_iter().chain(self.flight.alone.oldest()).min();
        let live = oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest));
        live.max(self.replay.silence(now))
    }
}
