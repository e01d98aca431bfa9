//! The other instances on the directory: which of them live, and what is known of them.
//!
//! An instance lives as long as its lock is held. A lock that is free tells of its death if it was held
//! under this very kernel, which lets go of it then and never before. Of another kernel, or where there
//! are no locks, it tells nothing: then the instance is dead when it has given no sign of life for
//! [`SILENCE`], by this process's own clock. Files without a lock file have lost it, or were put there by
//! hand: they are anybody's. That somebody may be taken for dead who lives is provided for: taking over is
//! a rename, by which he learns of it.

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use tracing::debug;
use uuid::Uuid;

use super::directory::{Directory, Presence, presence};
use super::lease::Statement;
use super::names;

/// An instance that no lock tells of is dead after so long without a sign of life.
pub const SILENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Rivals {
    seen: HashMap<Uuid, Sighting>,
}

struct Sighting {
    looked: Instant,
    /// What its lock file said, and since when it has said that, where no lock tells of it.
    silent: Option<(Option<Statement>, Instant)>,
}

/// The right to take over from an instance, as long as this exists.
pub struct Claim {
    pub instance: Uuid,
    /// It can't live.
    pub is_certain: bool,
    lock: Option<File>,
}

impl Rivals {
    /// When this one was last looked at.
    pub fn looked(&self, instance: Uuid) -> Option<Instant> {
        self.seen.get(&instance).map(|sighting| sighting.looked)
    }

    /// Whether the death of some may show just by time.
    pub fn has_silent(&self) -> bool {
        self.seen.values().any(|sighting| sighting.silent.is_some())
    }

    /// Forgets those that have nothing there any more.
    pub fn keep(&mut self, present: &HashSet<Uuid>) {
        self.seen.retain(|instance, _| present.contains(instance));
    }

    /// Claims what this instance has left; `None` if it may live.
    pub fn claim(
        &mut self,
        directory: &Directory,
        instance: Uuid,
        now: Instant,
    ) -> io::Result<Option<Claim>> {
        let before = self.seen.remove(&instance).and_then(|seen| seen.silent);
        let mut silent = None;
        let name = names::lock(instance);
        let claim = match directory.modify(&name) {
            Ok(file) => self.claim_lock(directory, &name, file, before, &mut silent, now)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some((None, false)),
            Err(error) => return Err(error),
        };
        let looked = now;
        self.seen.insert(instance, Sighting { looked, silent });
        Ok(claim.map(|(lock, is_certain)| Claim {
            instance,
            is_certain,
            lock,
        }))
    }

    #[allow(clippy::type_complexity, reason = "read in one place")]
    fn claim_lock(
        &self,
        directory: &Directory,
        name: &str,
        file: File,
        before: Option<(Option<Statement>, Instant)>,
        silent: &mut Option<(Option<Statement>, Instant)>,
        now: Instant,
    ) -> io::Result<Option<(Option<File>, bool)>> {
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                debug!(name, %error, "no lock");
                false
            }
        };
        // Another one may have finished and removed it since it was opened.
        if presence(&file, &directory.path_of(name))? != Presence::Here {
            return Ok(None);
        }
        let statement = Statement::read(&file)?;
        let is_of_here = statement.as_ref().is_some_and(Statement::is_of_this_kernel);
        if is_locked && is_of_here {
            return Ok(Some((Some(file), true)));
        }
        let since = match before {
            Some((said, since)) if said == statement => since,
            _ => now,
        };
        if now.duration_since(since) >= SILENCE {
            return Ok(Some((Some(file), false)));
        }
        *silent = Some((statement, since));
        Ok(None)
    }
}

impl Claim {
    /// All that was left has been taken over.
    pub fn complete(self, directory: &Directory, heir: Uuid) -> io::Result<()> {
        let Some(lock) = &self.lock else {
            return Ok(());
        };
        let statement = Statement {
            heir: Some(heir.to_string()),
            ..Statement::default()
        };
        statement.write(lock)?;
        directory.remove_if_there(&names::lock(self.instance))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::super::lease::Lease;
    use super::*;
    use crate::options::Modes;

    const MODES: Modes = Modes {
        directory: 0o700,
        file: 0o600,
    };

    #[test]
    fn one_owner_at_a_time() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let (instance, heir, now) = (Uuid::new_v4(), Uuid::new_v4(), Instant::now());
        let (mut one, mut other) = (Rivals::default(), Rivals::default());
        let owner = Lease::create(&directory, instance, MODES).unwrap();
        assert_eq!(owner.presence().unwrap(), Presence::Here);
        assert!(one.claim(&directory, instance, now).unwrap().is_none());
        drop(owner);
        let claim = one.claim(&directory, instance, now).unwrap().unwrap();
        assert!(claim.is_certain);
        assert!(other.claim(&directory, instance, now).unwrap().is_none());
        claim.complete(&directory, heir).unwrap();
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
        // What has no lock is anybody's.
        let claim = other.claim(&directory, instance, now).unwrap().unwrap();
        assert!(!claim.is_certain);
    }

    #[test]
    fn an_owner_that_was_taken_for_dead_learns_of_it() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let (instance, heir) = (Uuid::new_v4(), Uuid::new_v4());
        let mut owner = Lease::create(&directory, instance, MODES).unwrap();
        let lock = directory.modify(&names::lock(instance)).unwrap();
        let claim = Claim {
            instance,
            is_certain: false,
            lock: Some(lock),
        };
        owner.beat().unwrap();
        assert!(!owner.is_taken());
        claim.complete(&directory, heir).unwrap();
        owner.beat().unwrap();
        assert!(owner.is_taken());
        assert_eq!(owner.presence().unwrap(), Presence::Removed);
    }

    #[test]
    fn a_free_lock_of_another_kernel_tells_nothing_but_30_seconds_of_silence_do() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let (instance, start) = (Uuid::new_v4(), Instant::now());
        let path = top.path().join(names::lock(instance));
        let say = |beat: u64| {
            let text = format!(r#"{{"host":"h","boot":"another","pid":1,"beat":{beat}}}"#);
            fs::write(&path, text).unwrap();
        };
        let mut rivals = Rivals::default();
        let mut claim_at = |seconds| {
            let now = start + Duration::from_secs(seconds);
            rivals.claim(&directory, instance, now).unwrap()
        };
        say(1);
        assert!(claim_at(0).is_none());
        assert!(claim_at(29).is_none());
        say(2);
        assert!(claim_at(31).is_none());
        assert!(claim_at(60).is_none());
        let claim = claim_at(61).unwrap();
        assert!(!claim.is_certain);
    }

    #[test]
    fn a_link_in_a_locks_place_is_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let instance = Uuid::new_v4();
        fs::write(top.path().join("outside"), "x").unwrap();
        let link = top.path().join(names::lock(instance));
        std::os::unix::fs::symlink(top.path().join("outside"), link).unwrap();
        let claim = Rivals::default().claim(&directory, instance, Instant::now());
        assert!(claim.is_err());
    }
}
