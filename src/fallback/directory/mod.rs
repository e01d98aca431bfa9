//! A directory that is open, and what is done to the files in it.
//!
//! Whoever may write to the directory may put anything there under any name. Therefore names are looked
//! up in the open directory and never by a path, no link is followed, and nothing but a plain file is
//! opened. What makes a name appear or go says whether it did: "it is not there" (`NotFound`) and "that
//! can't be told" (any other error) are two answers.

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[cfg(not(unix))]
use portable as system;
#[cfg(unix)]
use unix as system;

use super::faults::{Call, meet};
use super::names;

#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: system::Handle,
}

/// What there is under a name, or is open.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub length: u64,
    /// Names that it has: 0 once it was removed.
    pub links: u64,
    pub modified: SystemTime,
    identity: (u64, u64),
}

impl Status {
    pub fn is_same_file(&self, other: &Status) -> bool {
        self.identity == other.identity
    }
}

/// Where the name of an open file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// The file exists, and is not under this name any more: renamed, or its disk was taken away.
    Elsewhere,
    /// The file has no name left: what is in it is lost when it is closed.
    Removed,
}

/// What is found in a directory.
pub struct Entry {
    pub name: String,
    /// False for what is not known to be one.
    pub is_plain_file: bool,
    pub is_directory: bool,
}

impl Directory {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Directory {
            path: path.to_owned(),
            handle: system::open(path)?,
        })
    }

    /// Makes it first, and those above it, where it is not there.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let made: Vec<&Path> = path.ancestors().take_while(|at| !at.exists()).collect();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        #[cfg(not(unix))]
        let _ = mode;
        builder.create(path)?;
        for parent in made.into_iter().filter_map(Path::parent) {
            // One that is not ours to open is its owner's to keep.
            let _ = Directory::open(parent).and_then(|directory| directory.sync());
        }
        Directory::open(path)
    }

    /// One that is in it.
    pub fn open_below(&self, name: &str) -> io::Result<Self> {
        Ok(Directory {
            path: self.path_of(name),
            handle: system::open_below(&self.handle, &self.path, name)?,
        })
    }

    pub fn make_below(&self, name: &str, mode: u32) -> io::Result<Self> {
        match self.open_below(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        system::make_below(&self.handle, &self.path, name, mode)?;
        self.open_below(name)
    }

    /// For the log.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        meet(Call::List)?;
        system::entries(&self.handle, &self.path)
    }

    pub fn status(&self, name: &str) -> io::Result<Status> {
        meet(Call::Status)?;
        system::status(&self.handle, &self.path, name)
    }

    /// Whether something has this name.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match self.status(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// For reading.
    pub fn read(&self, name: &str) -> io::Result<File> {
        meet(Call::Read)?;
        plain(system::read(&self.handle, &self.path, name)?)
    }

    /// For reading and writing, as it is.
    pub fn modify(&self, name: &str) -> io::Result<File> {
        plain(system::modify(&self.handle, &self.path, name)?)
    }

    /// For appending; made where it is not there.
    pub fn append(&self, name: &str, mode: u32) -> io::Result<File> {
        meet(Call::Make)?;
        plain(system::append(&self.handle, &self.path, name, mode)?)
    }

    /// A file that was not there before, for appending.
    pub fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        meet(Call::Make)?;
        system::create(&self.handle, &self.path, name, mode, true)
    }

    /// A file that was not there before, for reading and writing.
    pub fn create_to_modify(&self, name: &str, mode: u32) -> io::Result<File> {
        meet(Call::Make)?;
        system::create(&self.handle, &self.path, name, mode, false)
    }

    /// Puts a file with this content in the place of whatever has the name: all of it or, after an
    /// error, nothing. `is_synced`: the content is on the disk before the name leads to it.
    pub fn replace(
        &self,
        name: &str,
        content: &[u8],
        mode: u32,
        is_synced: bool,
    ) -> io::Result<()> {
        let making = names::unfinished(name);
        self.remove_if_there(&making)?;
        let write = || {
            let mut file = self.create(&making, mode)?;
            file.write_all(content)?;
            if is_synced {
                file.sync_data()?;
            }
            self.rename(&making, self, name)
        };
        write().inspect_err(|_| {
            // Whoever finds it later removes it.
            let _ = self.remove(&making);
        })
    }

    pub fn rename(&self, name: &str, to: &Directory, new: &str) -> io::Result<()> {
        let call = if self.path == to.path {
            Call::Rename
        } else {
            Call::Archive
        };
        meet(call)?;
        system::rename(
            (&self.handle, &self.path, name),
            (&to.handle, &to.path, new),
        )
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        let call = match names::kind(name) {
            names::FileKind::Segment { .. } => Call::Remove,
            _ => Call::Tidy,
        };
        meet(call)?;
        system::remove(&self.handle, &self.path, name)
    }

    pub fn remove_if_there(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes an empty directory that is in it.
    pub fn remove_below(&self, name: &str) -> io::Result<()> {
        system::remove_below(&self.handle, &self.path, name)
    }

    /// Names that were made, changed or removed survive a power cut from here on, where the platform
    /// can do that.
    pub fn sync(&self) -> io::Result<()> {
        meet(Call::Sync)?;
        system::sync(&self.handle)
    }

    /// Whether others than its owner may write to it.
    pub fn is_open_to_others(&self) -> io::Result<bool> {
        system::is_open_to_others(&self.handle)
    }
}

/// An open file's.
pub fn status_of(file: &File) -> io::Result<Status> {
    Ok(system::status_of(&file.metadata()?))
}

/// Whether `path` still leads to this open file.
///
/// # Errors
/// It could not be looked at; the file has a name somewhere.
pub fn presence(file: &File, path: &Path) -> io::Result<Presence> {
    let ours = status_of(file)?;
    if ours.links == 0 {
        return Ok(Presence::Removed);
    }
    match meet(Call::Status).and_then(|()| std::fs::symlink_metadata(path)) {
        Ok(there) if system::status_of(&there).is_same_file(&ours) => Ok(Presence::Here),
        Ok(_) => Ok(Presence::Elsewhere),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Presence::Elsewhere),
        Err(error) => Err(error),
    }
}

fn plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "this is no plain file",
    ))
}

#[cfg(all(test, unix))]
mod tests;
