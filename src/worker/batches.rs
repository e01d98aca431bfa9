//! How large batches may be.
//!
//! Large ones are fast, and a topic can have a limit (`max.message.bytes`) below them, by which it
//! refuses a batch as a whole. Its messages then go alone; and the next batches are smaller, so that
//! this stays an exception.

use tracing::{debug, info};

use super::Worker;

/// By how much batches become smaller at a time.
const STEP: u64 = 4;

impl Worker {
    /// A batch was refused; or one message in it, which shows when each goes alone.
    pub(super) fn batch_was_too_large(&mut self) {
        let kafka = &self.config.kafka;
        if self.smaller_batches || kafka.batch_size <= kafka.least_batch_size {
            return;
        }
        debug!(bytes = kafka.batch_size, "a batch was refused as too large");
        self.smaller_batches = true;
    }

    /// A producer's batch size is for life, so it is replaced; when it has nothing on its way, or
    /// messages could arrive twice.
    pub(super) fn check_batches(&mut self) {
        if !self.smaller_batches || !self.in_flight.is_empty() || self.purging.is_some() {
            return;
        }
        self.smaller_batches = false;
        let kafka = &mut self.config.kafka;
        let size = (kafka.batch_size / STEP).max(kafka.least_batch_size);
        kafka.batch_size = size;
        // The last one counts; a user's own is not touched, since it is the least at the same time.
        kafka
            .properties
            .push(("batch.size".into(), size.to_string()));
        if self.replace_producer() {
            info!(
                bytes = size,
                "batches are smaller from now on, because one was too large for its topic"
            );
        }
    }
}
