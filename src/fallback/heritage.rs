//! What others may have left in the directory, as it was last listed, and in what order it is taken.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;
use uuid::Uuid;

use super::clock::now;
use super::directory::Directory;
use super::listing::{Found, Group, Listing, Part};
use super::names;
use super::rivals::{Claim, Rivals, Worth};

/// A file without an owner that gives signs of life is left behind when it has not changed for this long.
pub const QUIET: Duration = Duration::from_secs(600);
/// So many that hold their locks are looked at after one listing, those first that have not been looked at
/// for longest: what that costs is bounded, however many live on the directory.
const MOST_LOOKS: usize = 1000;
/// What could not be taken over is not tried again before this.
const REFUSED: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Heritage {
    rivals: Rivals,
    /// As it was listed, by owners.
    found: Vec<Found>,
    /// When an owner's first file was changed, and where what it has begins in `found`. The next one is
    /// the last.
    owners: Vec<(Reverse<Option<SystemTime>>, usize)>,
    /// There was more of it than could be taken. It is next.
    rest: Option<(Uuid, Group)>,
    refused: HashMap<Uuid, Instant>,
    /// Files of earlier versions, which have no lock: size, time of change, and since when these are so.
    legacy: HashMap<(Option<String>, String), (u64, SystemTime, Instant)>,
}

impl Heritage {
    /// Lists what there is. Returns the files of earlier versions that nobody writes to any more.
    pub fn list(
        &mut self,
        directory: &Directory,
        own: Uuid,
    ) -> io::Result<Vec<(Option<String>, String)>> {
        // Not twice in memory.
        (self.found, self.owners, self.rest) = Default::default();
        let mut listing = Listing::read(directory)?;
        remove_unfinished(directory, &listing.unfinished);
        listing.found.retain(|found| found.owner != own);
        self.found = listing.found;
        let found = &self.found;
        self.rivals.keep(|instance| {
            found
                .binary_search_by_key(&instance, |found| found.owner)
                .is_ok()
        });
        self.refused
            .retain(|_, since| now().duration_since(*since) < REFUSED);
        self.owners = self.those_to_look_at();
        for (Reverse(modified), at) in &mut self.owners {
            if let Some(Found { owner, part, id }) = self.found.get(*at)
                && *part == Part::File
            {
                let status = directory.status(&names::segment(*owner, *id));
                *modified = status.ok().map(|status| status.modified);
            }
        }
        // The oldest last.
        self.owners.sort_unstable();
        Ok(self.quiet_legacy(directory, listing.legacy))
    }

    fn those_to_look_at(&self) -> Vec<(Reverse<Option<SystemTime>>, usize)> {
        let (mut wanted, mut alive) = (Vec::new(), Vec::new());
        let (mut at, now) = (0, now());
        for of_one in self.found.chunk_by(|one, next| one.owner == next.owner) {
            let begin = at;
            at += of_one.len();
            // Rejected lines alone are kept for their reader.
            let [first, ..] = of_one else { continue };
            let is_left = of_one.iter().any(|found| found.part != Part::Rejected);
            if !is_left || self.refused.contains_key(&first.owner) {
                continue;
            }
            match self.rivals.worth(first.owner, now) {
                Worth::Much => wanted.push((Reverse(None), begin)),
                Worth::Little(looked) => alive.push((looked, begin)),
                Worth::Nothing => {}
            }
        }
        alive.sort_unstable();
        alive.truncate(MOST_LOOKS.saturating_sub(wanted.len()));
        wanted.extend(alive.into_iter().map(|(_, begin)| (Reverse(None), begin)));
        wanted
    }

    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.rest.is_none()
    }

    /// Whether somebody's death may show just by time, or somebody could not be looked at.
    pub fn is_undecided(&self) -> bool {
        self.rivals.has_silent() || !self.refused.is_empty()
    }

    /// The next instance that is dead, and what it has left.
    pub fn next(&mut self, directory: &Directory) -> Option<(Claim, Group)> {
        while let Some((instance, group)) = self.next_group() {
            match self.rivals.claim(directory, instance, now()) {
                Ok(Some(claim)) => return Some((claim, group)),
                Ok(None) => {}
                Err(error) => self.refuse(instance, &error),
            }
        }
        self.found = Vec::new();
        None
    }

    fn next_group(&mut self) -> Option<(Uuid, Group)> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let (_, at) = self.owners.pop()?;
        let from = self.found.get(at..)?;
        let of_one = from.chunk_by(|one, next| one.owner == next.owner).next()?;
        Some((of_one.first()?.owner, Group::of(of_one)))
    }

    /// There is more of it than could be taken now.
    pub fn put_back(&mut self, instance: Uuid, group: Group) {
        self.rest = Some((instance, group));
    }

    /// Its files can't be taken over.
    pub fn refuse(&mut self, instance: Uuid, error: &io::Error) {
        self.refused.insert(instance, now());
        warn!(%instance, %error, "fallback files of another process cannot be taken over");
    }

    fn quiet_legacy(
        &mut self,
        directory: &Directory,
        found: Vec<(Option<String>, String)>,
    ) -> Vec<(Option<String>, String)> {
        let now = now();
        let (mut seen, mut quiet) = (HashMap::new(), Vec::new());
        for (folder, name) in found {
            let status = match &folder {
                Some(folder) => directory.open_below(folder).and_then(|d| d.status(&name)),
                None => directory.status(&name),
            };
            // What can't be looked at is looked at next time.
            let Ok(status) = status else {
                continue;
            };
            let place = (folder, name);
            let (length, modified) = (status.length, status.modified);
            let since = match self.legacy.get(&place) {
                Some((size, time, since)) if (*size, *time) == (length, modified) => *since,
                _ => now,
            };
            // By two clocks: the file's, and this process's own, which nobody can set.
            let is_quiet = modified.elapsed().is_ok_and(|age| age >= QUIET);
            if is_quiet || now.duration_since(since) >= QUIET {
                quiet.push(place);
            } else {
                seen.insert(place, (length, modified, since));
            }
        }
        self.legacy = seen;
        quiet
    }
}

/// It takes no time to make one: what has been there for long is of a process that died over it.
fn remove_unfinished(directory: &Directory, names: &[String]) {
    for name in names {
        let modified = directory.status(name).map(|status| status.modified);
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= QUIET)) {
            // One that stays is removed next time.
            let _ = directory.remove(name);
        }
    }
}
