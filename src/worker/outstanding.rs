//! What librdkafka holds, by age: the worker's own clock for the retry window and for the latency of
//! acknowledgements.
//!
//! `message.timeout.ms` is scanned about once a second and knows nothing of the cluster as a whole;
//! this knows at any moment since when the oldest message has been waiting, and how long each took,
//! at the cost of one small slot per [`SLOT`] of time rather than of a look at the clock for each
//! message.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Messages handed over within this time share a slot.
const SLOT: Duration = Duration::from_micros(250);
/// Slots from which on empty ones are searched for, behind a message that does not come back.
const MANY_SLOTS: usize = 4096;

struct Slot {
    first_sequence: u64,
    started: Instant,
    outstanding: u64,
}

/// Outstanding messages, whose numbers grow in the order in which they were handed over.
#[derive(Default)]
pub struct Outstanding {
    slots: VecDeque<Slot>,
    /// One more than the last number.
    next_sequence: u64,
    outstanding: u64,
    /// When there are so many slots, the empty ones go.
    sweep_at: usize,
    /// A slot is older than one before it: its messages had waited elsewhere.
    is_unordered: bool,
}

impl Outstanding {
    /// The message of this number was handed over; of its age, `since` is the beginning.
    pub fn sent(&mut self, sequence: u64, since: Instant) {
        debug_assert!(sequence >= self.next_sequence, "numbers grow");
        self.next_sequence = sequence + 1;
        if self.outstanding == 0 {
            self.slots.clear();
            self.is_unordered = false;
        }
        self.outstanding += 1;
        match self.slots.back_mut() {
            Some(slot) if since < slot.started => {
                self.is_unordered = true;
                self.begin_slot(sequence, since);
            }
            Some(slot) if since.duration_since(slot.started) < SLOT => slot.outstanding += 1,
            _ => self.begin_slot(sequence, since),
        }
    }

    fn begin_slot(&mut self, first_sequence: u64, started: Instant) {
        if self.slots.len() >= self.sweep_at.max(MANY_SLOTS) {
            self.slots.retain(|slot| slot.outstanding > 0);
            self.sweep_at = self.slots.len() * 2;
        }
        self.slots.push_back(Slot {
            first_sequence,
            started,
            outstanding: 1,
        });
    }

    /// The report of this message has come. Returns since when it had been waiting.
    pub fn done(&mut self, sequence: u64) -> Option<Instant> {
        let since = self
            .slot_of(sequence)
            .and_then(|(index, _)| Some(self.slots.get(index)?.started));
        self.all_done(&[sequence], Instant::now(), |_, _| {});
        since
    }

    /// The reports of these messages have come. Calls `took` with latencies, to within [`SLOT`], and
    /// how many messages had each.
    pub fn all_done(
        &mut self,
        sequences: &[u64],
        now: Instant,
        mut took: impl FnMut(Duration, u64),
    ) {
        let mut rest = sequences;
        // Neighbours nearly always share a slot.
        while let Some((first, others)) = rest.split_first() {
            let found = self.slot_of(*first);
            let Some((slot, numbers)) =
                found.and_then(|(index, numbers)| Some((self.slots.get_mut(index)?, numbers)))
            else {
                rest = others;
                continue;
            };
            let count = rest.iter().take_while(|it| numbers.contains(it)).count();
            rest = rest.get(count..).unwrap_or_default();
            let messages = (count as u64).min(slot.outstanding);
            debug_assert_eq!(messages, count as u64, "one report per message");
            slot.outstanding -= messages;
            self.outstanding -= messages;
            took(now.duration_since(slot.started), messages);
        }
        while self.slots.front().is_some_and(|slot| slot.outstanding == 0) && self.slots.len() > 1 {
            self.slots.pop_front();
        }
    }

    /// Where a message's slot is, and the numbers of all that are in it.
    fn slot_of(&self, sequence: u64) -> Option<(usize, Range<u64>)> {
        let after = self
            .slots
            .partition_point(|slot| slot.first_sequence <= sequence);
        let index = after.checked_sub(1)?;
        let end = self
            .slots
            .get(after)
            .map_or(self.next_sequence, |slot| slot.first_sequence);
        Some((index, self.slots.get(index)?.first_sequence..end))
            .filter(|(_, numbers)| numbers.contains(&sequence))
    }

    /// Since when the oldest message has been waiting, to within [`SLOT`].
    pub fn oldest(&self) -> Option<Instant> {
        let mut waiting = self.slots.iter().filter(|slot| slot.outstanding > 0);
        if self.is_unordered {
            waiting.map(|slot| slot.started).min()
        } else {
            waiting.next().map(|slot| slot.started)
        }
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
        let mut flight = Outstanding::default();
        for step in 0..4_u32 {
            let first = u64::from(step) * 2;
            flight.sent(first, start + step * SLOT);
            flight.sent(first + 1, start + step * SLOT);
        }
        assert_eq!(flight.oldest(), Some(start));
        assert_eq!(flight.done(1), Some(start));
        assert_eq!(flight.done(2), Some(start + SLOT));
        assert_eq!(flight.oldest(), Some(start));
        flight.done(0);
        assert_eq!(flight.oldest(), Some(start + SLOT));
        for sequence in 3..8 {
            flight.done(sequence);
        }
        assert!(flight.is_empty());
        assert_eq!(flight.oldest(), None);

        flight.sent(20, start + 10 * SLOT);
        assert_eq!(flight.oldest(), Some(start + 10 * SLOT));
    }

    #[test]
    fn each_message_is_told_how_long_it_took() {
        let start = Instant::now();
        let mut flight = Outstanding::default();
        for (sequence, step) in (0..).zip([0, 0, 0, 1, 1, 2_u32]) {
            flight.sent(sequence, start + step * SLOT);
        }
        let mut latencies = Vec::new();
        // Two partitions, whose reports come one after the other.
        flight.all_done(&[0, 2, 4, 1, 3], start + 4 * SLOT, |time, messages| {
            latencies.push((time, messages));
        });
        let expected = [(4, 2), (3, 1), (4, 1), (3, 1)];
        assert_eq!(latencies, expected.map(|(slots, n)| (SLOT * slots, n)));
        assert_eq!(flight.oldest(), Some(start + 2 * SLOT));
    }

    #[test]
    fn one_message_that_does_not_come_back_costs_no_memory() {
        let start = Instant::now();
        let mut flight = Outstanding::default();
        flight.sent(0, start);
        for step in 1..=10 * MANY_SLOTS as u32 {
            let sequence = u64::from(step);
            flight.sent(sequence, start + step * SLOT);
            flight.done(sequence);
        }
        assert!(flight.slots.len() <= MANY_SLOTS, "{}", flight.slots.len());
        assert_eq!(flight.oldest(), Some(start));
        flight.done(0);
        assert!(flight.is_empty());
    }

    #[test]
    fn what_has_waited_elsewhere_counts_from_then() {
        let start = Instant::now();
        let mut flight = Outstanding::default();
        flight.sent(0, start + 9 * SLOT);
        for step in 1..4_u32 {
            flight.sent(u64::from(step), start + step * SLOT);
        }
        assert_eq!(flight.oldest(), Some(start + SLOT));
        flight.done(1);
        assert_eq!(flight.oldest(), Some(start + 2 * SLOT));
        assert_eq!(flight.done(3), Some(start + 3 * SLOT));
        flight.done(2);
        assert_eq!(flight.oldest(), Some(start + 9 * SLOT));
    }

    #[test]
    fn what_is_sent_again_has_not_become_younger() {
        let start = Instant::now();
        let mut flight = Outstanding::default();
        flight.sent(0, start + SLOT);
        flight.done(0);
        flight.sent(1, start);
        assert_eq!(flight.oldest(), Some(start));
    }
}
