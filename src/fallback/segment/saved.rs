//! What an earlier process has written down about a file, and whether it is about this one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use tracing::warn;

use crate::fallback::directory::Directory;
use crate::fallback::ledger::Checkpoint;
use crate::fallback::lines::is_lost;
use crate::fallback::names;
use crate::fallback::progress::{FINGERPRINT_LENGTH, Progress};
use crate::message::Topics;

/// More than a progress file has.
const LONGEST_PROGRESS: u64 = 16 << 20;

/// What a progress file that fits its file says; else the beginning.
pub(super) fn load_progress(
    directory: &Directory,
    name: &str,
    file: &File,
    length: u64,
    topics: &Topics,
) -> io::Result<Checkpoint> {
    let mut bytes = Vec::new();
    match directory.read(&names::progress(name)) {
        Ok(progress) => progress.take(LONGEST_PROGRESS).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
        Err(error) => return Err(error),
    };
    let why = match Progress::decode(&bytes) {
        None => "it is damaged",
        Some(progress) if progress.offsets().any(|offset| offset > length) => {
            "it points past the file's end"
        }
        Some(progress) if !fits(file, length, &progress)? => "it is another file's",
        Some(progress) => {
            let floors = progress.floors.iter();
            return Ok(Checkpoint {
                base: progress.base,
                floors: floors
                    .map(|(topic, floor)| (topics.intern_filed(topic), *floor))
                    .collect(),
                held: progress.held.into_iter().collect(),
            });
        }
    };
    let path = directory.path_of(name);
    warn!(path = %path.display(), "the progress file is not believed ({why}); the file is replayed from its beginning");
    Ok(Checkpoint::default())
}

/// Where the disk can't read the file, its name has to do.
fn fits(file: &File, length: u64, progress: &Progress) -> io::Result<bool> {
    match is_about(file, length, progress) {
        Err(error) if is_lost(&error) => Ok(true),
        fits => fits,
    }
}

fn is_about(file: &File, length: u64, progress: &Progress) -> io::Result<bool> {
    let (crc, fingerprint_length) = fingerprint(file, progress.fingerprint_length)?;
    if (crc, fingerprint_length) != (progress.fingerprint, progress.fingerprint_length) {
        return Ok(false);
    }
    for offset in progress.offsets() {
        if !is_line_start(file, length, offset)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Or the end of a last line that has no newline.
fn is_line_start(mut file: &File, length: u64, offset: u64) -> io::Result<bool> {
    if offset == 0 || offset == length {
        return Ok(true);
    }
    file.seek(SeekFrom::Start(offset - 1))?;
    let mut before = [0];
    file.read_exact(&mut before)?;
    Ok(before == *b"\n")
}

pub(super) fn fingerprint(mut file: &File, length: u64) -> io::Result<(u32, u64)> {
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(length.min(FINGERPRINT_LENGTH))
        .read_to_end(&mut beginning)?;
    Ok((crc32c::crc32c(&beginning), beginning.len() as u64))
}
