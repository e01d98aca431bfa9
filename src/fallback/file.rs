//! The fallback file that is being written, and what making it takes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::message::Amount;

/// One file that is being written, whose content up to `length` is whole lines.
#[derive(Debug)]
pub struct CurrentFile {
    path: PathBuf,
    sequence: u32,
    file: File,
    length: u64,
    amount: Amount,
    synced: u64,
}

/// Why lines could not be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of it is in the file; trying again is safe.
    #[error("{0}")]
    Repaired(io::Error),
    /// A torn line is left at the end of the file: it must be sealed.
    #[error("{error} (and the torn line could not be cut off: {cut})")]
    Torn { error: io::Error, cut: io::Error },
}

impl CurrentFile {
    /// Makes a file that was not there before.
    pub fn create(path: PathBuf, sequence: u32, mode: u32) -> io::Result<Self> {
        let file = create_file(&path, mode)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")));
        Ok(CurrentFile {
            path,
            sequence,
            file,
            length: 0,
            amount: Amount::default(),
            synced: 0,
        })
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

    /// Appends whole lines: all of them, or none.
    pub fn append(&mut self, lines: &[u8], amount: Amount) -> Result<(), AppendError> {
        match self.file.write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                self.amount.add(amount);
                Ok(())
            }
            Err(error) => match self.file.set_len(self.length) {
                Ok(()) => Err(AppendError::Repaired(error)),
                Err(cut) => Err(AppendError::Torn { error, cut }),
            },
        }
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = self.length;
        Ok(())
    }

    /// Whether the path still leads to this file. What is written to one that was removed is lost
    /// as soon as it is closed.
    pub fn is_in_place(&self) -> bool {
        is_in_place(&self.file, &self.path)
    }

    /// Removes a file that holds no message.
    pub fn remove_if_empty(self) -> bool {
        self.length == 0 && fs::remove_file(&self.path).is_ok()
    }
}

/// Whether `path` leads to this open file.
pub fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    is_same_file(&ours, &there)
}

#[cfg(unix)]
fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// An open file can't be removed here.
#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

pub fn create_directory(directory: &Path, mode: u32) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(directory)
}

pub fn create_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// Makes a new file's name survive a power cut, where the platform can.
pub fn sync_directory(directory: &Path) {
    if cfg!(unix)
        && let Err(error) = File::open(directory).and_then(|directory| directory.sync_all())
    {
        tracing::debug!(path = %directory.display(), %error, "the fallback directory could not be synced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn directory_and_file_are_the_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("a/b/fallback.log");
        let directory = path.parent().unwrap();
        create_directory(directory, 0o700).unwrap();
        let file = CurrentFile::create(path.clone(), 1, 0o600).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(directory), 0o700);
        assert!(CurrentFile::create(path, 1, 0o600).is_err());
    }

    #[test]
    fn a_removed_file_is_noticed() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("fallback.log");
        let mut file = CurrentFile::create(path.clone(), 1, 0o600).unwrap();
        file.append(b"{}\n", Amount::of_one(2)).unwrap();
        assert!(file.is_in_place());
        fs::remove_file(&path).unwrap();
        assert!(!file.is_in_place());
        fs::write(&path, "another").unwrap();
        assert!(!file.is_in_place());
    }
}
