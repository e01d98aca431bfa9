//! This publisher's own files: their names, their lease, and which of them are sealed.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, warn};
use uuid::Uuid;

use super::clock::now;
use super::directory::{Directory, Presence};
use super::lease::Lease;
use super::names::{self, FileKind, SegmentId};
use crate::options::Modes;
use crate::statistics::Statistics;

/// A file that is complete, closed and never appended to again.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub name: String,
    pub sequence: u32,
    pub bytes: u64,
    pub messages: u64,
}

/// What a request for room has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Room {
    #[default]
    Enough,
    Wanted,
    /// There is nothing that could be discarded.
    None,
}

#[derive(Default)]
struct Files {
    sequence: u32,
    lease: Option<Lease>,
    sealed: VecDeque<Sealed>,
    /// Files that exist.
    count: u64,
    room: Room,
    was_warned: bool,
}

/// Shared by the writer, which makes the files, and the replayer, which takes others' over and removes
/// them.
pub struct Instance {
    pub uuid: Uuid,
    directory: PathBuf,
    modes: Modes,
    files: Mutex<Files>,
    room_changed: Condvar,
    statistics: Arc<Statistics>,
}

impl Instance {
    pub fn new(directory: PathBuf, modes: Modes, statistics: Arc<Statistics>) -> Self {
        Instance {
            uuid: Uuid::new_v4(),
            directory,
            modes,
            files: Mutex::default(),
            room_changed: Condvar::new(),
            statistics,
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The directory as it is now: it may have been removed, unmounted or made anew.
    pub fn open_directory(&self) -> io::Result<Directory> {
        Directory::open(&self.directory)
    }

    pub fn make_directory(&self) -> io::Result<Directory> {
        Directory::make(&self.directory, self.modes.directory)
    }

    pub fn modes(&self) -> Modes {
        self.modes
    }

    /// Makes sure of the directory and the lease. Returns name and number for the next file.
    pub fn next_file(&self) -> io::Result<(Directory, String, u32)> {
        let directory = self.make_directory()?;
        let mut files = self.files();
        self.hold(&directory, &mut files)?;
        files.sequence += 1;
        let sequence = files.sequence;
        let name = names::segment(self.uuid, (self.uuid, sequence));
        Ok((directory, name, sequence))
    }

    /// Makes sure of the lease, for whoever takes files over.
    pub fn hold_lease(&self, directory: &Directory) -> io::Result<()> {
        self.hold(directory, &mut self.files())
    }

    fn hold(&self, directory: &Directory, files: &mut Files) -> io::Result<()> {
        if !files.was_warned && directory.is_open_to_others()? {
            files.was_warned = true;
            warn!(directory = %self.directory.display(), "others than its owner may write to the fallback directory: they can have messages published, or remove them");
        }
        let is_missing = match &files.lease {
            // What can't be looked at is there, as far as is known.
            Some(lease) => lease.presence().is_ok_and(|at| at != Presence::Here),
            None => true,
        };
        if is_missing {
            files.lease = Some(Lease::create(directory, self.uuid, self.modes)?);
        }
        Ok(())
    }

    /// Gives a sign of life, if there is anything to hold. A lock file that somebody has removed is made
    /// anew.
    pub fn beat(&self) {
        let mut files = self.files();
        let Some(lease) = &mut files.lease else {
            return;
        };
        let beaten = match lease.presence() {
            Ok(Presence::Here) => lease.beat(),
            Ok(_) => {
                warn!(directory = %self.directory.display(), "the lock file was removed by somebody else");
                self.open_directory()
                    .and_then(|directory| self.hold(&directory, &mut files))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = beaten {
            debug!(%error, "no sign of life could be given");
        }
    }

    /// Of a file that is not where it was: whether another instance has taken it over. Else somebody has
    /// removed it.
    pub fn was_taken_over(&self, id: SegmentId) -> bool {
        let files = self.files();
        if files.lease.as_ref().is_some_and(Lease::is_taken) {
            return true;
        }
        drop(files);
        let entries = self.open_directory().and_then(|d| d.entries());
        entries.is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    matches!(names::kind(&entry.name),
                        FileKind::Segment { owner, id: other } if other == id && owner != self.uuid)
                })
            })
        })
    }

    pub fn created(&self) {
        self.files().count += 1;
    }

    pub fn removed(&self) {
        let mut files = self.files();
        files.count = files.count.saturating_sub(1);
    }

    pub fn seal(&self, sealed: Sealed) {
        self.statistics.add_backlog(1, sealed.bytes);
        self.files().sealed.push_back(sealed);
    }

    pub fn take_sealed(&self) -> VecDeque<Sealed> {
        std::mem::take(&mut self.files().sealed)
    }

    pub fn oldest_sealed(&self) -> Option<Sealed> {
        self.files().sealed.pop_front()
    }

    /// It could not go.
    pub fn still_sealed(&self, oldest: Sealed) {
        self.files().sealed.push_front(oldest);
    }

    /// `fallback.whenFull: 'discardOldest'`: asks the replayer to discard its oldest file, and waits.
    /// Returns whether it has.
    pub fn ask_for_room(&self, patience: Duration) -> bool {
        let mut files = self.files();
        files.room = Room::Wanted;
        let until = now() + patience;
        while files.room == Room::Wanted {
            let Some(left) = until.checked_duration_since(now()) else {
                files.room = Room::Enough;
                return false;
            };
            let waited = self.room_changed.wait_timeout(files, left);
            (files, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut files.room) == Room::Enough
    }

    pub fn is_room_wanted(&self) -> bool {
        self.files().room == Room::Wanted
    }

    /// The replayer's answer.
    pub fn made_room(&self, has: bool) {
        self.files().room = if has { Room::Enough } else { Room::None };
        self.room_changed.notify_all();
    }

    /// The publisher has ended: what it leaves is for others.
    pub fn release(&self) {
        let mut files = self.files();
        match files.lease.take() {
            Some(lease) if files.count == 0 => lease.retire(),
            // Dropped, it is free.
            _ => {}
        }
    }
}
