//! What librdkafka holds, by age: the worker's own clock for the retry window.
//!
//! `message.timeout.ms` is scanned about once a second and knows nothing of the cluster as a whole;
//! this knows at any moment since when the oldest message has been waiting, at the cost of one
//! small slot per [`SLOT`] of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages handed over within this time share a slot.
const SLOT: Duration = Duration::from_millis(50);

struct Slot {
    first_sequence: u64,
    started: Instant,
    outstanding: u64,
}

/// Outstanding messages, numbered in the order in which they were handed over.
#[derive(Default)]
pub struct InFlight {
    slots: VecDeque<Slot>,
    next_sequence: u64,
    outstanding: u64,
}

impl InFlight {
    /// The number that the next message will have.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The message of number [`InFlight::next_sequence`] was handed over.
    pub fn sent(&mut self, now: Instant) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.outstanding += 1;
        match self.slots.back_mut() {
            Some(slot) if now.duration_since(slot.started) < SLOT => slot.outstanding += 1,
            _ => self.slots.push_back(Slot {
                first_sequence: sequence,
                started: now,
                outstanding: 1,
            }),
        }
    }

    /// The report of this message has come.
    pub fn done(&mut self, sequence: u64) {
        let index = self
            .slots
            .partition_point(|slot| slot.first_sequence <= sequence);
        if let Some(slot) = index
            .checked_sub(1)
            .and_then(|index| self.slots.get_mut(index))
        {
            debug_assert!(slot.outstanding > 0, "one report per message");
            slot.outstanding = slot.outstanding.saturating_sub(1);
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        while self.slots.front().is_some_and(|slot| slot.outstanding == 0) && self.slots.len() > 1 {
            self.slots.pop_front();
        }
    }

    /// Since when the oldest message has been waiting, to within [`SLOT`].
    pub fn oldest(&self) -> Option<Instant> {
        self.slots
            .iter()
            .find(|slot| slot.outstanding > 0)
            .map(|slot| slot.started)
    }

    pub fn is_empty(&self) -> bool {
        self.outstanding == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_outstanding_message_counts() {
        let start = Instant::now();
        let mut flight = InFlight::default();
        for step in 0..4_u32 {
            let first = flight.next_sequence();
            flight.sent(start + step * SLOT);
            flight.sent(start + step * SLOT);
            assert_eq!(first, u64::from(step) * 2);
        }
        assert_eq!(flight.oldest(), Some(start));
        flight.done(1);
        flight.done(2);
        assert_eq!(flight.oldest(), Some(start));
        flight.done(0);
        assert_eq!(flight.oldest(), Some(start + SLOT));
        for sequence in 3..8 {
            flight.done(sequence);
        }
        assert!(flight.is_empty());
        assert_eq!(flight.oldest(), None);

        flight.sent(start + 10 * SLOT);
        assert_eq!(flight.oldest(), Some(start + 10 * SLOT));
    }
}
