//! `fallback.rejected`: how much of what could not be published is kept, and for how long.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use tracing::{debug, warn};

use super::clock::now;
use super::directory::Directory;
use super::instance::Instance;
use super::names::{self, FileKind};
use crate::options::RejectedConfig;

const INTERVAL: Duration = Duration::from_secs(10);

pub struct RejectedLimit {
    config: RejectedConfig,
    last: Option<Instant>,
}

impl RejectedLimit {
    pub fn new(config: RejectedConfig) -> Self {
        RejectedLimit { config, last: None }
    }

    /// Removes `.rejected` files that are too old, and the oldest of those that are too many.
    pub fn keep(&mut self, instance: &Instance) {
        let is_limited = self.config.max_bytes.is_some() || self.config.max_age.is_some();
        if !is_limited
            || self
                .last
                .is_some_and(|last| now().duration_since(last) < INTERVAL)
        {
            return;
        }
        self.last = Some(now());
        let kept = instance
            .open_directory()
            .and_then(|directory| self.keep_in(&directory));
        if let Err(error) = kept
            && error.kind() != io::ErrorKind::NotFound
        {
            debug!(%error, "the .rejected files could not be looked through");
        }
    }

    fn keep_in(&self, directory: &Directory) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in directory.entries()? {
            let entry = entry?;
            let FileKind::Rejected { owner, id } = names::kind(&entry.name) else {
                continue;
            };
            // While its file is there, more may be written to it.
            if entry.is_plain_file && !directory.has(&names::segment(owner, id))? {
                let status = directory.status(&entry.name)?;
                files.push((status.modified, status.length, entry.name));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (modified, length, name) in files {
            let is_old = self.config.max_age.is_some_and(|most| {
                let age = SystemTime::now().duration_since(modified);
                age.is_ok_and(|age| age > most)
            });
            let is_too_much = self.config.max_bytes.is_some_and(|most| total > most);
            if is_old || is_too_much {
                directory.remove_if_there(&name)?;
                total -= length;
                warn!(path = %directory.path_of(&name).display(), "a .rejected file was removed, as fallback.rejected says");
            }
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_oldest_go_first_and_those_in_use_stay() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let owner = Uuid::new_v4();
        let name = |sequence| names::segment(owner, (owner, sequence));
        for sequence in 1..=4 {
            let path = top.path().join(names::rejected(&name(sequence)));
            fs::write(&path, [b'x'; 100]).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            let age = Duration::from_secs(1000 - u64::from(sequence) * 100);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        fs::write(top.path().join(name(1)), "").unwrap();
        let left = || {
            let is_left =
                |sequence: &u32| top.path().join(names::rejected(&name(*sequence))).exists();
            (1..=4).filter(is_left).collect::<Vec<u32>>()
        };
        let limit = |max_bytes, max_age| RejectedLimit::new(RejectedConfig { max_bytes, max_age });
        limit(Some(200), None).keep_in(&directory).unwrap();
        assert_eq!(left(), [1, 3, 4]);
        let age = Some(Duration::from_secs(650));
        limit(None, age).keep_in(&directory).unwrap();
        assert_eq!(left(), [1, 4]);
    }
}
