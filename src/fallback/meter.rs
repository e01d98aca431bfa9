//! How fast the replay is, for the estimate of how long it will still take.

use std::time::{Duration, Instant};

use crate::statistics::ReplayState;

/// Between two measurements.
const INTERVAL: Duration = Duration::from_millis(250);
/// Weight of the newest measurement.
const WEIGHT: f64 = 0.2;

pub struct Meter {
    last: Instant,
    last_state: Option<ReplayState>,
    last_bytes: u64,
    rate: f64,
}

impl Meter {
    pub fn new(now: Instant) -> Self {
        Meter {
            last: now,
            last_state: None,
            last_bytes: 0,
            rate: 0.0,
        }
    }

    /// Whether it is time to measure again: a change of state is always worth it.
    pub fn is_due(&self, state: ReplayState) -> bool {
        self.last_state != Some(state) || self.last.elapsed() >= INTERVAL
    }

    /// Bytes per second, of late, from how many are left; 0 when nothing is being replayed.
    pub fn rate(&mut self, bytes_left: u64, state: ReplayState) -> f64 {
        if !self.is_due(state) {
            return self.rate;
        }
        let went_on = state == ReplayState::Replaying && self.last_state == Some(state);
        let time = self.last.elapsed().as_secs_f64();
        if state != ReplayState::Replaying {
            self.rate = 0.0;
        } else if went_on && time > 0.0 && bytes_left <= self.last_bytes {
            let rate = (self.last_bytes - bytes_left) as f64 / time;
            self.rate = if self.rate == 0.0 {
                rate
            } else {
                self.rate + WEIGHT * (rate - self.rate)
            };
        }
        self.last = Instant::now();
        self.last_state = Some(state);
        self.last_bytes = bytes_left;
        self.rate
    }
}
