//! How memory is shared out.

use std::time::Duration;

use crate::options::Gathering;

/// A round trip for which [`Limits::flight`] is enough.
const SHORT: Duration = Duration::from_millis(20);

/// Shares of `maxBufferedBytes`, all in bytes of [`Amount::cost`]. Half of it is for what comes in
/// while the worker waits for a core.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All that may be held; beyond it messages are discarded (only when the disk is stuck, too).
    pub total: u64,
    /// What librdkafka may hold. It has one request of a partition on its way, and looks for an answer
    /// all the time while others wait behind it: more than it can send soon makes it slower.
    pub flight: u64,
    /// What librdkafka may hold beside that for messages from files.
    pub replay: u64,
    /// What the inbox may hold before the worker spills it.
    pub spill: u64,
    /// What may wait, for the worker or for the disk, before `queue()` returns `false`.
    pub high: u64,
    /// At or below this `drained()` resolves.
    pub low: u64,
    /// So many bytes of keys and values need not wait for others to travel with; 0 if none has to.
    pub gathered: u64,
}

impl Limits {
    pub fn new(max_buffered_bytes: u64) -> Self {
        Limits {
            total: max_buffered_bytes,
            flight: max_buffered_bytes / 32 * 3,
            replay: max_buffered_bytes / 8,
            spill: max_buffered_bytes / 8 * 3,
            high: max_buffered_bytes / 16,
            low: max_buffered_bytes / 32,
            gathered: 0,
        }
    }

    /// What librdkafka may hold where an acknowledgement takes so long: a long way holds more. It and the
    /// inbox, up to its mark, stay below `total`.
    pub fn flight_for(&self, round_trip: Option<Duration>) -> u64 {
        let times = round_trip.map_or(1.0, |time| time.div_duration_f64(SHORT).max(1.0));
        let most = self.total / 2;
        ((self.flight as f64 * times) as u64).clamp(self.flight, most.max(self.flight))
    }

    /// With messages waiting for others, as `batch` says; never for so many that memory is short.
    pub fn gathering(mut self, gathering: Option<Gathering>) -> Self {
        if let Some(gathering) = gathering {
            self.gathered = gathering.bytes.clamp(1, (self.low / 2).max(1));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_way_holds_more_within_the_bound() {
        let limits = Limits::new(64 << 20);
        let at = |ms| limits.flight_for(Some(Duration::from_millis(ms)));
        assert_eq!(limits.flight_for(None), limits.flight);
        assert_eq!((at(1), at(20)), (limits.flight, limits.flight));
        assert_eq!(at(60), limits.flight * 3);
        assert_eq!(at(1000), limits.total / 2);
        assert!(at(1000) + limits.spill + limits.replay <= limits.total);
    }
}
