//! This publisher's own files: their names, their lease, and which of them are sealed.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;
use uuid::Uuid;

use super::file::create_directory;
use super::lease::Lease;
use super::names;
use crate::options::Modes;
use crate::statistics::Statistics;

/// A file that is complete, closed and never appended to again.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub path: PathBuf,
    pub sequence: u32,
    pub bytes: u64,
    pub messages: u64,
}

#[derive(Default)]
struct Files {
    sequence: u32,
    lease: Option<Lease>,
    sealed: VecDeque<Sealed>,
    /// Files that exist.
    count: u64,
}

/// Shared by the writer, which makes the files, and the replayer, which removes them.
pub struct Instance {
    pub uuid: Uuid,
    directory: PathBuf,
    modes: Modes,
    files: Mutex<Files>,
    statistics: Arc<Statistics>,
}

impl Instance {
    pub fn new(directory: PathBuf, modes: Modes, statistics: Arc<Statistics>) -> Self {
        Instance {
            uuid: Uuid::new_v4(),
            directory,
            modes,
            files: Mutex::default(),
            statistics,
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn modes(&self) -> Modes {
        self.modes
    }

    /// Makes sure of the directory and the lease. Returns path and number for the next file.
    pub fn next_file(&self) -> io::Result<(PathBuf, u32)> {
        create_directory(&self.directory, self.modes.directory)?;
        let mut files = self.files();
        if !files.lease.as_ref().is_some_and(Lease::is_in_place) {
            // The directory may have been removed, and the lease with it.
            files.lease = Some(Lease::create(&self.directory, self.uuid, self.modes)?);
        }
        files.sequence += 1;
        let sequence = files.sequence;
        Ok((
            names::segment(&self.directory, self.uuid, sequence),
            sequence,
        ))
    }

    /// Whether others are kept out of these files.
    pub fn is_locked(&self) -> bool {
        self.files().lease.as_ref().is_none_or(Lease::is_locked)
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

    /// The publisher has ended: what it leaves is for others.
    pub fn release(&self) {
        let mut files = self.files();
        match files.lease.take() {
            Some(lease) if files.count == 0 => lease.retire(),
            Some(lease) if !lease.is_in_place() => {
                warn!(directory = %self.directory.display(), "the lock file was removed by somebody else");
            }
            _ => {}
        }
    }
}
