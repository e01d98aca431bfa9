//! `<file>.rejected`: the lines of a file that could not be replayed, as they were.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use super::names;
use crate::options::Modes;

#[derive(Debug)]
pub struct Rejects {
    segment: File,
    rejected: File,
    /// What is known to survive a power cut.
    synced_length: u64,
    /// Lines behind that: a sync that fails leaves nothing known of them, so they are copied anew.
    unsynced: Vec<Range<u64>>,
    is_doubtful: bool,
}

impl Rejects {
    pub fn open(segment: &Path, modes: Modes) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, modes.file);
        #[cfg(not(unix))]
        let _ = modes;
        let rejected = options.open(names::rejected(segment))?;
        Ok(Rejects {
            segment: File::open(segment)?,
            synced_length: rejected.metadata()?.len(),
            rejected,
            unsynced: Vec::new(),
            is_doubtful: false,
        })
    }

    /// Copies the bytes of one line, however long it is: all of it or, after an error, nothing.
    pub fn keep(&mut self, offset: u64, next: u64) -> io::Result<()> {
        let length = self.rejected.metadata()?.len();
        self.copy(offset, next).inspect_err(|_| {
            // Should this fail, too, half a line of what was no message stays there.
            let _ = self.rejected.set_len(length);
        })?;
        match self.unsynced.last_mut() {
            Some(last) if last.end == offset => last.end = next,
            _ => self.unsynced.push(offset..next),
        }
        Ok(())
    }

    fn copy(&mut self, offset: u64, next: u64) -> io::Result<()> {
        self.segment.seek(SeekFrom::Start(offset))?;
        let mut line = (&self.segment).take(next - offset);
        io::copy(&mut line, &mut self.rejected)?;
        let mut last = [0];
        self.segment.seek(SeekFrom::Start(next.saturating_sub(1)))?;
        self.segment.read_exact(&mut last)?;
        if last != *b"\n" {
            self.rejected.write_all(b"\n")?;
        }
        Ok(())
    }

    /// What was kept survives a power cut from here on.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if self.is_doubtful {
            self.rejected.set_len(self.synced_length)?;
            for range in self.unsynced.clone() {
                self.copy(range.start, range.end)?;
            }
        }
        self.is_doubtful = true;
        self.rejected.sync_data()?;
        self.is_doubtful = false;
        self.unsynced.clear();
        self.synced_length = self.rejected.metadata()?.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_as_they_were() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("fallback.log");
        std::fs::write(&path, b"{1}\n\0garbage\r\n{torn").unwrap();
        let modes = Modes {
            directory: 0o700,
            file: 0o600,
        };
        let mut rejects = Rejects::open(&path, modes).unwrap();
        rejects.keep(4, 14).unwrap();
        rejects.keep(14, 19).unwrap();
        rejects.sync().unwrap();
        let kept = std::fs::read(names::rejected(&path)).unwrap();
        assert_eq!(kept, b"\0garbage\r\n{torn\n");
    }
}
