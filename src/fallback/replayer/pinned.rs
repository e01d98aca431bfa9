//! Files that can't go, and others' room: what is left of a large file is copied out of it, and the
//! oldest file is discarded where the newest messages count for more.

use std::io::{self, Write};
use std::time::Duration;

use tracing::{debug, error, info};

use super::thread::Replay;
use crate::fallback::clock::now;
use crate::fallback::directory::Directory;
use crate::fallback::instance::Sealed;
use crate::fallback::lines::Content;
use crate::fallback::names::{self, SegmentId};
use crate::fallback::record;
use crate::fallback::segment::Segment;
use crate::message::{Amount, Reason};
use crate::options::Fsync;
use crate::statistics::Place;

/// A file below this holds nobody's room.
const LARGE: u64 = 1 << 20;
/// Copied is at most this part of a file.
const PART: u64 = 4;
/// Between two tries at the same file.
const PAUSE: Duration = Duration::from_secs(60);

impl Replay {
    /// Of a large file that is done but for a topic in trouble, or for lines of a later version, those
    /// messages go to a file of their own.
    pub(super) fn make_room_for_others(&mut self, id: SegmentId) {
        let Some(segment) = self.backlog.segment(id) else {
            return;
        };
        let is_pinned = segment.ledger.is_pinned(segment.length) && segment.is_counted();
        let was_tried = segment
            .copied
            .is_some_and(|at| now().duration_since(at) < PAUSE);
        if !is_pinned || segment.length < LARGE || was_tried || segment.is_damaged {
            return;
        }
        segment.copied = Some(now());
        let name = segment.name.clone();
        match self.copy_out(id) {
            Ok(true) => info!(
                name,
                "what is left of a fallback file has a file of its own"
            ),
            Ok(false) => {}
            Err(error) => debug!(name, %error, "what is left of a fallback file stays there"),
        }
    }

    fn copy_out(&mut self, id: SegmentId) -> io::Result<bool> {
        let directory = self.instance.open_directory()?;
        let Some(left) = self.unsettled_lines(&directory, id)? else {
            return Ok(false);
        };
        let Some(segment) = self.backlog.segment(id) else {
            return Ok(false);
        };
        // Its writer may live.
        if segment.grow(&directory)? > 0 {
            return Ok(false);
        }
        segment.sync_rejects(&directory)?;
        let (old, messages) = (segment.name.clone(), segment.messages);
        let (directory, name, sequence) = self.instance.next_file()?;
        let making = names::unfinished(&name);
        let mut file = directory.create(&making, self.instance.modes().file)?;
        file.write_all(&left)?;
        if self.config.fsync != Fsync::Never {
            file.sync_data()?;
        }
        directory.rename(&making, &directory, &name)?;
        // From here to the removal, a crash has these messages published twice. The new name must not be
        // the one that a power cut takes.
        let synced = if self.config.fsync == Fsync::Never {
            Ok(())
        } else {
            directory.sync()
        };
        if let Err(error) = synced.and_then(|()| self.backlog.put_away(&directory, &old, id)) {
            directory.remove(&name)?;
            return Err(error);
        }
        self.backlog.unsynced += 1;
        if let Some(segment) = self.backlog.forget(id) {
            segment.remove_progress(&directory);
        }
        let sealed = Sealed {
            name,
            sequence,
            bytes: left.len() as u64,
            messages,
        };
        self.instance.created();
        self.statistics.add_backlog(1, sealed.bytes);
        let mut segment = Segment::of_own(&sealed, (self.instance.uuid, sequence));
        segment.look_at(&directory)?;
        self.backlog.add(segment);
        self.backlog.sort();
        Ok(true)
    }

    /// `None` if that is too much of it.
    fn unsettled_lines(
        &mut self,
        directory: &Directory,
        id: SegmentId,
    ) -> io::Result<Option<Vec<u8>>> {
        let topics = std::sync::Arc::clone(&self.topics);
        let Some(segment) = self.backlog.segment(id) else {
            return Ok(None);
        };
        let mut left = Vec::new();
        let start = segment.ledger.first_unsettled();
        let mut lines = segment.lines(directory, start)?;
        while let Some(line) = lines.next()? {
            let Content::Text(text) = line.content else {
                continue;
            };
            let is_left = segment.ledger.is_held(line.offset)
                || record::parse(text).is_ok_and(|message| {
                    let topic = topics.intern_filed(&message.topic);
                    segment.ledger.is_unsettled(line.offset, topic)
                });
            if is_left {
                left.extend_from_slice(text);
                left.push(b'\n');
                if left.len() as u64 > segment.length / PART {
                    return Ok(None);
                }
            }
        }
        Ok(Some(left))
    }

    /// `fallback.whenFull: 'discardOldest'`. Returns whether there was a file to discard.
    pub(super) fn discard_oldest(&mut self) -> bool {
        let passes = &self.passes;
        let Some(id) = self.backlog.oldest(|id| passes.contains_key(&id)) else {
            return false;
        };
        match self.discard(id) {
            Ok(()) => true,
            Err(error) => {
                self.backlog.failed(id, "cannot be discarded", &error);
                false
            }
        }
    }

    fn discard(&mut self, id: SegmentId) -> io::Result<()> {
        let directory = self.instance.open_directory()?;
        // What is discarded is counted, also what its writer has added not knowing better.
        if let Some(segment) = self.backlog.segment(id) {
            let more = segment.grow(&directory)?;
            self.statistics.add_backlog(0, more);
        }
        while self.backlog.segment(id).is_some_and(|s| !s.is_counted()) {
            if !self.backlog.count_on(&directory, id)? {
                break;
            }
        }
        let Some(name) = self.backlog.name(id).map(str::to_owned) else {
            return Ok(());
        };
        directory.remove(&name)?;
        let Some(segment) = self.backlog.forget(id) else {
            return Ok(());
        };
        segment.remove_progress(&directory);
        self.passes.remove(&id);
        self.reading.take_if(|(reading, _)| *reading == id);
        let (messages, why) = (segment.messages, Reason::FallbackFull.sentence());
        error!(
            name,
            messages, "the oldest fallback file was discarded: {why}"
        );
        self.statistics
            .errors(format!("discarded: {why}"), messages);
        let amount = Amount { messages, bytes: 0 };
        let to = Place::Discarded(Reason::FallbackFull);
        self.statistics.transfer(Place::Disk, to, amount);
        Ok(())
    }
}
