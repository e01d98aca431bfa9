//! The end of a file, and what makes it last.

use std::io;

use tracing::{debug, error};

use super::{SEAL_TRIES, WriterThread};
use crate::fallback::clock::now;
use crate::fallback::file::CurrentFile;
use crate::fallback::instance::Sealed;
use crate::options::Fsync;
use crate::statistics::Place;

impl WriterThread {
    /// What could not be synced goes to another file, as far as it is still in memory.
    pub(super) fn sync(&mut self) {
        self.last_sync = now();
        let Some(file) = self.current.as_mut().filter(|file| !file.is_synced()) else {
            return;
        };
        let Err(error) = file.sync() else {
            return;
        };
        let path = file.path().display().to_string();
        let kept = file.take_back();
        self.statistics.file_error(Self::sync_failed(&path, &error));
        self.seal_unsynced();
        if let Some(mut text) = kept {
            self.statistics
                .transfer(Place::Disk, Place::Writer, text.amount());
            self.write(&mut text);
        }
    }

    /// Returns what is counted, by whoever tries again.
    pub(super) fn sync_failed(path: &str, error: &io::Error) -> String {
        error!(path, %error, "the fallback file could not be synced; going on in a new one");
        format!("cannot sync {path}: {error}")
    }

    pub fn seal(&mut self) {
        if self.config.fsync != Fsync::Never {
            for _ in 0..SEAL_TRIES {
                self.sync();
                if self.current.as_ref().is_none_or(CurrentFile::is_synced) {
                    break;
                }
            }
        }
        self.seal_unsynced();
    }

    pub(super) fn seal_unsynced(&mut self) {
        let Some(file) = self.current.take() else {
            return;
        };
        debug!(path = %file.path().display(), messages = file.amount().messages, "fallback file sealed");
        let sealed = Sealed {
            name: file.name().to_owned(),
            sequence: file.sequence(),
            bytes: file.length(),
            messages: file.amount().messages,
        };
        if file.remove_if_empty() {
            self.instance.removed();
        } else {
            self.instance.seal(sealed);
        }
        self.gauge();
    }
}
