//! `fallback.maxBytes`: how much more may be written to the directory.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::now;
use super::directory::Directory;
use super::names::{self, FileKind};

/// How long the measured size of a directory is believed: others write to it, too.
const REFRESH: Duration = Duration::from_secs(1);
/// Measuring takes at most this part of the time.
const SHARE: u32 = 50;

pub struct Cap {
    directory: PathBuf,
    limit: Option<u64>,
    used: Option<u64>,
    measure_at: Instant,
}

impl Cap {
    pub fn new(directory: PathBuf, limit: Option<u64>) -> Self {
        Cap {
            directory,
            limit,
            used: None,
            measure_at: now(),
        }
    }

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// The directory can't be looked through, and never could.
    pub fn room(&mut self) -> io::Result<u64> {
        let Some(limit) = self.limit else {
            return Ok(u64::MAX);
        };
        let start = now();
        if self.used.is_none() || start >= self.measure_at {
            match self.measure() {
                Ok(used) => self.used = Some(used),
                // What was known before, and what was written since, is as near as can be told.
                Err(error) if self.used.is_none() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the fallback directory could not be measured");
                }
            }
            self.measure_at = now() + REFRESH.max(now().duration_since(start) * SHARE);
        }
        Ok(limit.saturating_sub(self.used.unwrap_or(0)))
    }

    pub fn written(&mut self, bytes: u64) {
        if let Some(used) = &mut self.used {
            *used += bytes;
        }
    }

    /// Files have gone: measured anew.
    pub fn refresh(&mut self) {
        self.measure_at = now();
    }

    /// A directory or file that is not there has no size.
    fn measure(&self) -> io::Result<u64> {
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let directory = match Directory::open(&self.directory) {
            Ok(directory) => directory,
            Err(error) if is_gone(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut used = 0;
        for entry in directory.entries()? {
            let entry = entry?;
            let kind = names::kind(&entry.name);
            if !entry.is_plain_file || matches!(kind, FileKind::Other | FileKind::Lock { .. }) {
                continue;
            }
            match directory.status(&entry.name) {
                Ok(status) => used += status.length,
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_there_and_what_is_written_counts() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("fallback.log"), [b'x'; 30]).unwrap();
        fs::write(top.path().join("other"), [b'x'; 1000]).unwrap();
        let mut cap = Cap::new(top.path().into(), Some(100));
        assert_eq!(cap.room().unwrap(), 70);
        cap.written(60);
        assert_eq!(cap.room().unwrap(), 10);
        cap.written(60);
        assert_eq!(cap.room().unwrap(), 0);
        cap.refresh();
        assert_eq!(cap.room().unwrap(), 70);
        assert_eq!(Cap::new("nowhere".into(), Some(5)).room().unwrap(), 5);
        assert_eq!(Cap::new(top.path().into(), None).room().unwrap(), u64::MAX);
    }

    #[test]
    fn what_can_not_be_measured_is_not_empty() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("d");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("fallback.log"), [b'x'; 30]).unwrap();
        let mut cap = Cap::new(directory.clone(), Some(100));
        assert_eq!(cap.room().unwrap(), 70);
        fs::remove_dir_all(&directory).unwrap();
        fs::write(&directory, "no directory").unwrap();
        cap.refresh();
        assert_eq!(cap.room().unwrap(), 70);
        assert!(Cap::new(directory, Some(100)).room().is_err());
    }
}
