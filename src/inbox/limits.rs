//! How memory is shared out.

use crate::options::Gathering;

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

    /// With messages waiting for others, as `batch` says; never for so many that memory is short.
    pub fn gathering(mut self, gathering: Option<Gathering>) -> Self {
        if let Some(gathering) = gathering {
            self.gathered = gathering.bytes.clamp(1, (self.low / 2).max(1));
        }
        self
    }
}
