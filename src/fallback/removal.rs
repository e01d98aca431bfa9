//! The end of a file that is done.
//!
//! Where its writer may live after all, the progress file says first that all of it is settled; after
//! [`GRACE`](super::backlog::GRACE) it is looked at once more, and goes on if it has grown. Of one that
//! can't be removed the progress file says so as well: no later process publishes it again. The file is
//! removed before its progress: the other way round a crash in between would publish all of it again.
//! Both are made to last, by a sync of the directory, before more than a second has passed.

use std::io;
use std::time::Duration;

use tracing::{debug, info};

use super::backlog::Backlog;
use super::clock::now;
use super::directory::Directory;
use super::ledger::Halted;
use super::names::{self, SegmentId};
use super::segment::Segment;
use crate::message::{Amount, Reason};
use crate::news::Item;
use crate::options::Fsync;
use crate::statistics::Place;

const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Names that are synced at once, at most.
const MOST_UNSYNCED: u64 = 1024;

impl Backlog {
    /// A file of which all is settled goes; one that has grown meanwhile stays.
    pub fn finish(&mut self, id: SegmentId) {
        let directory = match self.directory() {
            Ok(directory) => directory,
            Err(error) => return self.failed(id, "cannot be looked at", &error),
        };
        let Some(segment) = self.segments.get_mut(&id) else {
            return;
        };
        if let Err(error) = segment.sync_rejects(&directory) {
            return self.failed(id, "has lines that cannot be kept apart", &error);
        }
        match segment.grow(&directory) {
            Ok(0) => {}
            Ok(bytes) => {
                segment.done = None;
                self.look_again();
                return self.statistics.add_backlog(0, bytes);
            }
            Err(error) => return self.failed(id, "cannot be looked at", &error),
        }
        if !segment.is_certain && segment.done.is_none() {
            if let Err(error) = self.save_complete(&directory, id) {
                return self.failed(id, "cannot be marked as done", &error);
            }
            if let Some(segment) = self.segments.get_mut(&id) {
                segment.done = Some(now());
            }
            return;
        }
        match self.remove(&directory, id) {
            Ok(()) => self.removed_for_good(&directory, id),
            Err(error) => {
                if let Err(error) = self.save_complete(&directory, id) {
                    debug!(%error, "a fallback file can neither be removed nor marked as done");
                }
                self.failed(id, "cannot be removed", &error);
            }
        }
    }

    fn save_complete(&mut self, directory: &Directory, id: SegmentId) -> io::Result<()> {
        let (is_synced, modes) = (self.config.fsync != Fsync::Never, self.instance.modes());
        let Some(segment) = self.segments.get_mut(&id) else {
            return Ok(());
        };
        segment.save_progress(directory, &Halted::new(), &self.topics, modes, is_synced)?;
        self.unsynced += 1;
        Ok(())
    }

    fn remove(&self, directory: &Directory, id: SegmentId) -> io::Result<()> {
        match self.segments.get(&id) {
            // What could not be read may be read by other means; what was counted and not met again, too.
            Some(segment) if segment.is_damaged || segment.messages > 0 => {
                directory.rename(&segment.name, directory, &names::damaged(&segment.name))
            }
            Some(segment) => self.put_away(directory, &segment.name, id),
            None => Ok(()),
        }
    }

    /// Deletes a file, or moves it to `archive/`.
    pub(super) fn put_away(
        &self,
        directory: &Directory,
        name: &str,
        id: SegmentId,
    ) -> io::Result<()> {
        if self.config.archive {
            let folder = directory.make_below("archive", self.instance.modes().directory)?;
            let original = names::segment(id.0, id);
            let free = if folder.has(&original)? {
                name
            } else {
                original.as_str()
            };
            return directory.rename(name, &folder, free);
        }
        directory.remove(name)
    }

    fn removed_for_good(&mut self, directory: &Directory, id: SegmentId) {
        let Some(segment) = self.forget(id) else {
            return;
        };
        segment.remove_progress(directory);
        self.unsynced += 1;
        info!(path = %directory.path_of(&segment.name).display(), "fallback file replayed");
        let file = segment.name.clone();
        self.statistics.news.tell(|| Item::Replayed { file });
        self.account_for_the_rest(&segment);
    }

    /// What was counted and never met: stretches that the disk could not read, or somebody has cut off.
    fn account_for_the_rest(&self, segment: &Segment) {
        let amount = Amount {
            messages: segment.messages,
            bytes: 0,
        };
        let to = if segment.is_damaged {
            Place::Rejected
        } else {
            Place::Discarded(Reason::FileRemoved)
        };
        self.statistics.transfer(Place::Disk, to, amount);
    }

    /// Makes removals last, and what files are marked with. Returns for how long that can wait.
    pub fn sync_removals(&mut self) -> Duration {
        let wait = SYNC_INTERVAL.saturating_sub(now().duration_since(self.last_sync));
        if self.unsynced == 0 || self.config.fsync == Fsync::Never {
            return SYNC_INTERVAL;
        }
        let is_due =
            wait.is_zero() || self.unsynced >= MOST_UNSYNCED || self.config.fsync == Fsync::Always;
        if !is_due {
            return wait;
        }
        self.unsynced = 0;
        self.last_sync = now();
        if let Err(error) = self.instance.open_directory().and_then(|d| d.sync()) {
            debug!(%error, "the fallback directory could not be synced");
        }
        SYNC_INTERVAL
    }
}
