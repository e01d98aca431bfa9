//! Whose files are whose: an instance holds the lock of `fallback-<uuid>.lock` as long as it lives.
//!
//! The kernel lets go of a lock when its owner dies, however it dies. Then any other instance may take
//! it, and with it all files of the dead one. On NFS, Linux makes a byte-range lock of it, which the
//! server keeps for all hosts; that is why the file is opened for writing. Where there are no locks,
//! what has not changed for [`QUIET`] counts as left behind, and an owner never appends to a file
//! that it has left alone for [`IDLE_WITHOUT_LOCKS`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::{debug, warn};
use uuid::Uuid;

use super::file::{create_file, is_in_place, sync_directory};
use super::names;
use crate::options::Modes;

/// A file without a usable lock is left behind when it has not changed for this long.
pub const QUIET: Duration = Duration::from_secs(600);
/// Where there are no locks, a file is sealed when it has not been written to for this long.
pub const IDLE_WITHOUT_LOCKS: Duration = Duration::from_secs(60);

/// The ownership of one instance's files.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    file: File,
    is_locked: bool,
}

impl Lease {
    /// For a new instance. Its file appears with the lock already held.
    pub fn create(directory: &Path, instance: Uuid, modes: Modes) -> io::Result<Self> {
        let path = names::lock(directory, instance);
        let making = names::with_suffix(&path, ".new");
        // Left there by a directory that was full, or read-only, in between.
        let _ = fs::remove_file(&making);
        let file = create_file(&making, modes.file)?;
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(error) => {
                warn!(path = %path.display(), %error, "the file system has no locks: files that another instance leaves are taken over when they have been quiet for 10 minutes, and may be published twice");
                false
            }
        };
        if let Err(error) = fs::rename(&making, &path) {
            let _ = fs::remove_file(&making);
            return Err(error);
        }
        sync_directory(directory);
        Ok(Lease {
            path,
            file,
            is_locked,
        })
    }

    /// Takes over from an instance that is dead; `None` if it lives. `changed` is when its files were
    /// last written to.
    pub fn take_over(
        directory: &Path,
        instance: Uuid,
        changed: SystemTime,
    ) -> io::Result<Option<Self>> {
        let path = names::lock(directory, instance);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                debug!(path = %path.display(), %error, "no lock");
                let quiet = changed.elapsed().is_ok_and(|quiet| quiet >= QUIET);
                if !quiet {
                    return Ok(None);
                }
                false
            }
        };
        // Another one may have finished and removed it since it was opened.
        if !is_in_place(&file, &path) {
            return Ok(None);
        }
        Ok(Some(Lease {
            path,
            file,
            is_locked,
        }))
    }

    /// Whether the kernel keeps others out.
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Whether the lock is where others look for it.
    pub fn is_in_place(&self) -> bool {
        is_in_place(&self.file, &self.path)
    }

    /// Nothing is left to own.
    pub fn retire(self) {
        if self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
            debug!(path = %self.path.display(), %error, "a lock file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: Modes = Modes {
        directory: 0o700,
        file: 0o600,
    };

    #[test]
    fn one_owner_at_a_time() {
        let top = tempfile::tempdir().unwrap();
        let (instance, now) = (Uuid::new_v4(), SystemTime::now());
        let owner = Lease::create(top.path(), instance, MODES).unwrap();
        assert!(owner.is_locked() && owner.is_in_place());
        assert!(
            Lease::take_over(top.path(), instance, now)
                .unwrap()
                .is_none()
        );
        drop(owner);
        let heir = Lease::take_over(top.path(), instance, now)
            .unwrap()
            .unwrap();
        assert!(
            Lease::take_over(top.path(), instance, now)
                .unwrap()
                .is_none()
        );
        heir.retire();
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_without_a_lock_file_can_be_taken_over() {
        let top = tempfile::tempdir().unwrap();
        let lease = Lease::take_over(top.path(), Uuid::new_v4(), SystemTime::now()).unwrap();
        assert!(lease.unwrap().is_in_place());
    }

    #[test]
    fn a_lock_that_was_removed_is_not_in_place() {
        let top = tempfile::tempdir().unwrap();
        let instance = Uuid::new_v4();
        let owner = Lease::create(top.path(), instance, MODES).unwrap();
        fs::remove_file(names::lock(top.path(), instance)).unwrap();
        assert!(!owner.is_in_place());
    }
}
