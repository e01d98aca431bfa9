//! By `openat` and its like.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat,
};

use rustix::io::Errno;

use super::{Entry, Status};

pub type Handle = OwnedFd;

/// No link is followed, and no pipe is waited for.
const FLAGS: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// The directory itself is the user's own choice, and may be a link.
pub fn open(path: &Path) -> io::Result<Handle> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

pub fn open_below(handle: &Handle, _: &Path, name: &str) -> io::Result<Handle> {
    let flags = DIRECTORY.union(OFlags::NOFOLLOW);
    Ok(openat(handle, name, flags, Mode::empty())?)
}

pub fn make_below(handle: &Handle, _: &Path, name: &str, mode: u32) -> io::Result<()> {
    Ok(mkdirat(handle, name, Mode::from_raw_mode(mode as _))?)
}

pub fn entries(
    handle: &Handle,
    _: &Path,
) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    let own = handle.try_clone()?;
    let entries = Dir::read_from(handle)?;
    Ok(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error.into())),
        };
        let name = entry.file_name().to_str().ok()?;
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            // Some file systems tell only when they are asked; what is gone by then is nothing.
            let status = statat(&own, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            kind = FileType::from_raw_mode(status.st_mode as _);
        }
        Some(Ok(Entry {
            name: name.to_owned(),
            is_plain_file: kind == FileType::RegularFile,
            is_directory: kind == FileType::Directory,
        }))
    }))
}

#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "these types differ from one Unix to the other"
)]
pub fn status(handle: &Handle, _: &Path, name: &str) -> io::Result<Status> {
    let status = statat(handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Status {
        length: status.st_size as u64,
        links: status.st_nlink as u64,
        modified: time(status.st_mtime as i64, status.st_mtime_nsec as i64),
        identity: (status.st_dev as u64, status.st_ino as u64),
    })
}

pub fn status_of(metadata: &Metadata) -> Status {
    Status {
        length: metadata.len(),
        links: metadata.nlink(),
        modified: time(metadata.mtime(), metadata.mtime_nsec()),
        identity: (metadata.dev(), metadata.ino()),
    }
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let since = Duration::new(
        seconds.max(0) as u64,
        nanoseconds.clamp(0, 999_999_999) as u32,
    );
    UNIX_EPOCH + since
}

pub fn read(handle: &Handle, _: &Path, name: &str) -> io::Result<File> {
    file(handle, name, OFlags::RDONLY, 0)
}

pub fn modify(handle: &Handle, _: &Path, name: &str) -> io::Result<File> {
    file(handle, name, OFlags::RDWR, 0)
}

pub fn append(handle: &Handle, _: &Path, name: &str, mode: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    file(handle, name, flags, mode)
}

pub fn create(handle: &Handle, _: &Path, name: &str, mode: u32, appends: bool) -> io::Result<File> {
    let mut flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    flags.set(OFlags::APPEND, appends);
    file(handle, name, flags, mode)
}

fn file(handle: &Handle, name: &str, flags: OFlags, mode: u32) -> io::Result<File> {
    let mode = Mode::from_raw_mode(mode as _);
    Ok(openat(handle, name, flags | FLAGS, mode)?.into())
}

pub fn rename(
    (handle, _, name): (&Handle, &Path, &str),
    (to, _, new): (&Handle, &Path, &str),
) -> io::Result<()> {
    Ok(renameat(handle, name, to, new)?)
}

pub fn remove(handle: &Handle, _: &Path, name: &str) -> io::Result<()> {
    Ok(unlinkat(handle, name, AtFlags::empty())?)
}

pub fn remove_below(handle: &Handle, _: &Path, name: &str) -> io::Result<()> {
    Ok(unlinkat(handle, name, AtFlags::REMOVEDIR)?)
}

pub fn sync(handle: &Handle) -> io::Result<()> {
    match rustix::fs::fsync(handle) {
        // Some file systems have no such thing.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        synced => Ok(synced?),
    }
}

pub fn is_open_to_others(handle: &Handle) -> io::Result<bool> {
    Ok(fstat(handle)?.st_mode & 0o022 != 0)
}
