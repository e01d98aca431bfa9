//! `fallback.maxBytes`: how much more may be written to the directory.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::names::{self, FileKind};

/// How long the measured size of a directory is believed: others write to it, too.
const REFRESH: Duration = Duration::from_secs(1);

pub struct Cap {
    directory: PathBuf,
    limit: Option<u64>,
    used: u64,
    measured: Option<Instant>,
}

impl Cap {
    pub fn new(directory: PathBuf, limit: Option<u64>) -> Self {
        Cap {
            directory,
            limit,
            used: 0,
            measured: None,
        }
    }

    /// Bytes that may still be written.
    pub fn room(&mut self) -> u64 {
        let Some(limit) = self.limit else {
            return u64::MAX;
        };
        if self.measured.is_none_or(|at| at.elapsed() > REFRESH) {
            self.used = self.measure();
            self.measured = Some(Instant::now());
        }
        limit.saturating_sub(self.used)
    }

    pub fn written(&mut self, bytes: u64) {
        self.used += bytes;
    }

    /// A directory or file that is not there has no size.
    fn measure(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return 0;
        };
        entries
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_str()
                    .is_some_and(|name| names::kind(name) != FileKind::Other)
            })
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_what_is_written_counts() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("fallback.log"), [b'x'; 30]).unwrap();
        fs::write(top.path().join("other"), [b'x'; 1000]).unwrap();
        let mut cap = Cap::new(top.path().into(), Some(100));
        assert_eq!(cap.room(), 70);
        cap.written(60);
        assert_eq!(cap.room(), 10);
        cap.written(60);
        assert_eq!(cap.room(), 0);
        assert_eq!(Cap::new("nowhere".into(), Some(5)).room(), 5);
        assert_eq!(Cap::new(top.path().into(), None).room(), u64::MAX);
    }
}
