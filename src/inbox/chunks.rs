//! The arenas that messages are written to: one that is being filled, full ones behind it, and emptied
//! ones that are filled again. In steady state nothing is allocated, and nothing is ever moved to a
//! larger arena.

use std::collections::{HashSet, VecDeque};

use crate::message::{Batch, Reason, Record, TopicId};

/// Size of a chunk's arena, in bytes. Larger messages get a chunk of their own.
pub(super) const CHUNK: usize = 256 * 1024;
/// Records that a chunk starts with room for.
const RECORDS: usize = 1024;
/// Emptied chunks that are kept for the next use.
const SPARE: usize = 16;

#[derive(Default)]
pub(super) struct Chunks {
    current: Batch,
    full: VecDeque<Batch>,
    spare: Vec<Batch>,
}

impl Chunks {
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.full.is_empty()
    }

    /// Drops what was appended and not committed.
    pub(super) fn roll_back(&mut self) {
        self.current.roll_back();
    }

    pub(super) fn commit(&mut self, record: Record) {
        self.current.commit(record);
    }

    /// An arena with at least `room` bytes of room.
    ///
    /// # Errors
    /// There is no memory for a message as large as this.
    pub(super) fn arena(&mut self, room: usize) -> Result<&mut Vec<u8>, Reason> {
        if self.current.room() < room {
            self.begin(room)?;
        }
        Ok(self.current.arena())
    }

    fn begin(&mut self, room: usize) -> Result<(), Reason> {
        let spare = self
            .spare
            .pop()
            .filter(|spare| spare.room() >= room.max(CHUNK));
        let next = match spare {
            Some(spare) => spare,
            None => {
                Batch::try_with_capacity(room.max(CHUNK), RECORDS).map_err(|_| Reason::TooLarge)?
            }
        };
        let full = std::mem::replace(&mut self.current, next);
        if !full.is_empty() {
            self.full.push_back(full);
        }
        Ok(())
    }

    /// The oldest chunk.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if let Some(full) = self.full.pop_front() {
            return Some(full);
        }
        if self.current.is_empty() {
            return None;
        }
        // A few messages travel light: the chunk stays, or many such batches would hold much more memory
        // than they are counted as.
        if self.current.remaining().bytes < (CHUNK / 4) as u64 {
            let batch = self.current.compact();
            self.current.clear();
            return Some(batch);
        }
        let next = self.spare.pop().unwrap_or_default();
        Some(std::mem::replace(&mut self.current, next))
    }

    pub(super) fn topics(&self) -> HashSet<TopicId> {
        let batches = self.full.iter().chain([&self.current]);
        batches.flat_map(Batch::topics).collect()
    }

    /// Keeps an emptied chunk for the next use, if there are not enough of them.
    pub(super) fn recycle(&mut self, chunk: Batch) {
        if self.spare.len() < SPARE && (CHUNK..=2 * CHUNK).contains(&chunk.room()) {
            self.spare.push(chunk);
        }
    }

    #[cfg(test)]
    pub(super) fn rooms(&self) -> impl Iterator<Item = usize> {
        let spare = self.spare.iter().map(Batch::room);
        spare.chain([self.current.room()])
    }
}
