//! The other instances on the directory: which of them live, and what is known of them.
//!
//! An instance lives as long as its lock is held. A lock that is free tells of its death if it was held
//! under this very kernel, which lets go of it then and never before. Of another kernel, or where there
//! are no locks, it tells nothing: then the instance is dead when it has given no sign of life for
//! [`SILENCE`], by this process's own clock. Files without a lock file have lost it, or were put there by
//! hand: they are anybody's. That somebody may be taken for dead who lives is provided for: taking over is
//! a rename, by which he learns of it.

use std::collections::HashMap;
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
    /// Where no lock tells of it.
    silence: Option<Box<Silence>>,
}

/// What a lock file says, and since when it has said that.
struct Silence {
    said: Option<Statement>,
    since: Instant,
}

/// The right to take over from an instance, as long as this exists.
pub struct Claim {
    pub instance: Uuid,
    /// It can't live.
    pub is_certain: bool,
    lock: Option<File>,
}

/// Whether another look at an instance may tell something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is not known, or has been silent for long enough.
    Much,
    /// It was not silent for long enough yet.
    Nothing,
    /// It has held its lock, when it was last looked at.
    Little(Instant),
}

impl Rivals {
    pub fn worth(&self, instance: Uuid, now: Instant) -> Worth {
        match self.seen.get(&instance) {
            None => Worth::Much,
            Some(Sighting {
                silence: Some(silence),
                ..
            }) if now.duration_since(silence.since) < SILENCE => Worth::Nothing,
            Some(Sighting {
                silence: Some(_), ..
            }) => Worth::Much,
            Some(Sighting { looked, .. }) => Worth::Little(*looked),
        }
    }

    /// Whether the death of some may show just by time.
    pub fn has_silent(&self) -> bool {
        self.seen
            .values()
            .any(|sighting| sighting.silence.is_some())
    }

    /// Forgets those that have nothing there any more.
    pub fn keep(&mut self, is_present: impl Fn(Uuid) -> bool) {
        self.seen.retain(|instance, _| is_present(*instance));
    }

    /// Claims what this instance has left; `None` if it may live.
    pub fn claim(
        &mut self,
        directory: &Directory,
        instance: Uuid,
        now: Instant,
    ) -> io::Result<Option<Claim>> {
        let before = self.seen.remove(&instance).and_then(|seen| seen.silence);
        let name = names::lock(instance);
        let look = match directory.modify(&name) {
            Ok(file) => look_at(directory, &name, file, before, now)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Dead(None),
            Err(error) => return Err(error),
        };
        let dead = |lock, is_certain| Claim {
            instance,
            is_certain,
            lock,
        };
        let (claim, silence) = match look {
            Look::Dead(lock) => {
                let is_certain = lock.is_some();
                return Ok(Some(dead(lock, is_certain)));
            }
            Look::Alive => (None, None),
            Look::Silent(lock, silence) => {
                let is_dead = now.duration_since(silence.since) >= SILENCE;
                // It stays so: not all that it has left may be taken at once.
                let silence = Some(Box::new(silence));
                (is_dead.then(|| dead(Some(lock), false)), silence)
            }
        };
        let looked = now;
        self.seen.insert(instance, Sighting { looked, silence });
        Ok(claim)
    }
}

enum Look {
    /// Its lock, if it has one, is held by this process now.
    Dead(Option<File>),
    Alive,
    Silent(File, Silence),
}

fn look_at(
    directory: &Directory,
    name: &str,
    file: File,
    before: Option<Box<Silence>>,
    now: Instant,
) -> io::Result<Look> {
    let is_locked = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => return Ok(Look::Alive),
        Err(TryLockError::Error(error)) => {
            debug!(name, %error, "no lock");
            false
        }
    };
    // Another one may have finished and removed it since it was opened.
    if presence(&file, &directory.path_of(name))? != Presence::Here {
        return Ok(Look::Alive);
    }
    let said = Statement::read(&file)?;
    if is_locked && said.as_ref().is_some_and(Statement::is_of_this_kernel) {
        return Ok(Look::Dead(Some(file)));
    }
    let since = match before {
        Some(before) if before.said == said => before.since,
        _ => now,
    };
    Ok(Look::Silent(file, Silence { said, since }))
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
    fn who_was_silent_for_long_enough_is_dead_at_every_look() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let (instance, start) = (Uuid::new_v4(), Instant::now());
        let path = top.path().join(names::lock(instance));
        fs::write(&path, r#"{"host":"h","boot":"another","pid":1,"beat":1}"#).unwrap();
        let mut rivals = Rivals::default();
        let claim_at = |rivals: &mut Rivals, seconds| {
            let now = start + Duration::from_secs(seconds);
            rivals.claim(&directory, instance, now).unwrap()
        };
        assert!(claim_at(&mut rivals, 0).is_none());
        assert_eq!(rivals.worth(instance, start + SILENCE / 2), Worth::Nothing);
        assert_eq!(rivals.worth(instance, start + SILENCE), Worth::Much);
        // There was more of it than could be taken.
        drop(claim_at(&mut rivals, 31).unwrap());
        assert!(claim_at(&mut rivals, 32).is_some());
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
