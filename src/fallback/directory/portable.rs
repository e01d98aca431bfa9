//! By paths, where the system has no `openat`. Whoever may write to the directory is trusted there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Entry, Status};

#[derive(Debug)]
pub struct Handle;

pub fn open(path: &Path) -> io::Result<Handle> {
    if fs::metadata(path)?.is_dir() {
        return Ok(Handle);
    }
    Err(io::ErrorKind::NotADirectory.into())
}

pub fn open_below(_: &Handle, path: &Path, name: &str) -> io::Result<Handle> {
    if fs::symlink_metadata(path.join(name))?.is_dir() {
        return Ok(Handle);
    }
    Err(io::ErrorKind::NotADirectory.into())
}

pub fn make_below(_: &Handle, path: &Path, name: &str, _mode: u32) -> io::Result<()> {
    fs::create_dir(path.join(name))
}

pub fn entries(
    _: &Handle,
    path: &Path,
) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    Ok(fs::read_dir(path)?.filter_map(|entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let kind = entry.file_type().ok()?;
        Some(Ok(Entry {
            name: entry.file_name().into_string().ok()?,
            is_plain_file: kind.is_file(),
            is_directory: kind.is_dir(),
        }))
    }))
}

pub fn status(_: &Handle, path: &Path, name: &str) -> io::Result<Status> {
    Ok(status_of(&fs::symlink_metadata(path.join(name))?))
}

/// An open file can't be told from others here, nor whether it has lost its name.
pub fn status_of(metadata: &Metadata) -> Status {
    Status {
        length: metadata.len(),
        links: 1,
        modified: metadata.modified().unwrap_or(UNIX_EPOCH),
        identity: (0, 0),
    }
}

pub fn read(_: &Handle, path: &Path, name: &str) -> io::Result<File> {
    File::open(checked(path, name)?)
}

pub fn modify(_: &Handle, path: &Path, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(checked(path, name)?)
}

pub fn append(_: &Handle, path: &Path, name: &str, _mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    options.open(checked(path, name)?)
}

pub fn create(_: &Handle, path: &Path, name: &str, _mode: u32, appends: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .append(appends)
        .create_new(true);
    options.open(path.join(name))
}

/// No link is followed, as far as looking first can tell.
fn checked(path: &Path, name: &str) -> io::Result<std::path::PathBuf> {
    let path = path.join(name);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_file() => Err(io::ErrorKind::InvalidInput.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(path),
    }
}

pub fn rename(
    (_, path, name): (&Handle, &Path, &str),
    (_, to, new): (&Handle, &Path, &str),
) -> io::Result<()> {
    fs::rename(path.join(name), to.join(new))
}

pub fn remove(_: &Handle, path: &Path, name: &str) -> io::Result<()> {
    fs::remove_file(path.join(name))
}

pub fn remove_below(_: &Handle, path: &Path, name: &str) -> io::Result<()> {
    fs::remove_dir(path.join(name))
}

pub fn sync(_: &Handle) -> io::Result<()> {
    Ok(())
}

pub fn is_open_to_others(_: &Handle) -> io::Result<bool> {
    Ok(false)
}
