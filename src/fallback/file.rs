//! The fallback file that is being written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::directory::{Directory, Presence, presence};
use super::faults::{Call, has_synced, meet};
use super::text::Text;
use crate::message::Amount;
use crate::options::Fsync;

/// Lines that were written and not synced yet are kept in memory up to so many bytes, for the case that
/// the sync fails.
const MOST_KEPT: usize = 4 << 20;

/// One file that is being written, whose content up to `length` is whole lines.
#[derive(Debug)]
pub struct CurrentFile {
    name: String,
    path: PathBuf,
    sequence: u32,
    file: File,
    length: u64,
    amount: Amount,
    synced: u64,
    /// What was written since the last good sync; `None` if that was too much, or is not wanted.
    kept: Option<Text>,
    keeps: bool,
}

/// Lines could not be appended, or not all of them.
#[derive(Debug, thiserror::Error)]
pub struct AppendError {
    error: io::Error,
    /// Bytes of whole lines that are in the file.
    pub written: usize,
    /// A torn line is left at its end, which could not be cut off: it must be sealed.
    pub torn: Option<io::Error>,
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(formatter)?;
        match &self.torn {
            Some(cut) => write!(
                formatter,
                " (and the torn line could not be cut off: {cut})"
            ),
            None => Ok(()),
        }
    }
}

impl CurrentFile {
    /// Makes a file that was not there before. With [`Fsync::Always`], its name is on the disk when it is
    /// made.
    pub fn create(
        directory: &Directory,
        name: String,
        sequence: u32,
        mode: u32,
        fsync: Fsync,
    ) -> io::Result<Self> {
        let file = directory.create(&name, mode)?;
        let synced = match fsync {
            Fsync::Never => Ok(()),
            Fsync::Interval | Fsync::Always => directory.sync(),
        };
        if let Err(error) = synced {
            if fsync == Fsync::Always {
                // An empty one that stays is removed by whoever finds it.
                let _ = directory.remove(&name);
                return Err(error);
            }
            tracing::debug!(name, %error, "the fallback directory could not be synced");
        }
        has_synced(&file, 0);
        let keeps = fsync != Fsync::Never;
        Ok(CurrentFile {
            path: directory.path_of(&name),
            name,
            sequence,
            file,
            length: 0,
            amount: Amount::default(),
            synced: 0,
            kept: keeps.then(Text::default),
            keeps,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number in its name.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// What its lines hold.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    pub fn is_synced(&self) -> bool {
        self.synced == self.length
    }

    /// Appends lines. What of them fits is kept, in whole lines.
    pub fn append(&mut self, lines: &Text) -> Result<(), AppendError> {
        let bytes = lines.bytes();
        let mut done = 0;
        let error = loop {
            if done == bytes.len() {
                self.has_appended(lines, done);
                return Ok(());
            }
            match meet(Call::Write).and_then(|()| self.file.write(&bytes[done..])) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let written = memchr::memrchr(b'\n', &bytes[..done]).map_or(0, |at| at + 1);
        let cut = if written == done {
            Ok(())
        } else {
            self.file.set_len(self.length + written as u64)
        };
        self.has_appended(lines, written);
        Err(AppendError {
            error,
            written,
            torn: cut.err(),
        })
    }

    fn has_appended(&mut self, lines: &Text, length: usize) {
        self.length += length as u64;
        self.amount.add(lines.amount_of(length));
        if let Some(kept) = &mut self.kept {
            if kept.bytes().len() + length > MOST_KEPT {
                self.kept = None;
            } else {
                kept.extend(lines, length);
            }
        }
    }

    /// From here on, what was written survives a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        meet(Call::Sync)?;
        self.file.sync_data()?;
        has_synced(&self.file, self.length);
        self.synced = self.length;
        match &mut self.kept {
            Some(kept) => kept.clear(),
            none if self.keeps => *none = Some(Text::default()),
            None => {}
        }
        Ok(())
    }

    /// A sync has failed, and what the kernel says of the file after that can't be relied on. Returns
    /// what was written since the last good one, which is not the file's any more.
    pub fn take_back(&mut self) -> Option<Text> {
        let kept = self.kept.take().filter(|kept| !kept.is_empty())?;
        self.length = self.synced;
        self.amount.subtract(kept.amount());
        // If they can't be cut off, these lines are in two files, and published twice.
        if let Err(error) = self.file.set_len(self.synced) {
            tracing::warn!(path = %self.path.display(), %error, "lines that could not be synced stay in the file, and are written to another one");
        }
        Some(kept)
    }

    /// Where the file is: what is written to one that was removed is lost as soon as it is closed.
    pub fn presence(&self) -> io::Result<Presence> {
        presence(&self.file, &self.path)
    }

    /// Removes a file that holds no message.
    pub fn remove_if_empty(self) -> bool {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let remove = || Directory::open(parent)?.remove(&self.name);
        self.length == 0
            && self
                .file
                .metadata()
                .is_ok_and(|metadata| metadata.len() == 0)
            && remove().is_ok()
    }
}
