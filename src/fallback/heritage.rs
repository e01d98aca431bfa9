//! What others may have left in the directory, as it was last listed, and in what order it is taken.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;
use uuid::Uuid;

use super::clock::now;
use super::directory::Directory;
use super::listing::{Group, Listing};
use super::names;
use super::rivals::{Claim, Rivals};

/// A file without an owner that gives signs of life is left behind when it has not changed for this long.
pub const QUIET: Duration = Duration::from_secs(600);
/// So many others are looked at after one listing, those first that have not been looked at for longest:
/// what that costs is bounded, however many live on the directory.
const MOST_LOOKS: usize = 1000;
/// What could not be taken over is not tried again before this.
const REFUSED: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Heritage {
    rivals: Rivals,
    /// The next one is the last.
    groups: Vec<(Uuid, Group)>,
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
        let mut listing = Listing::read(directory)?;
        listing.groups.remove(&own);
        remove_unfinished(directory, &listing.unfinished);
        let present: HashSet<Uuid> = listing.groups.keys().copied().collect();
        self.rivals.keep(&present);
        self.refused
            .retain(|_, since| now().duration_since(*since) < REFUSED);
        let mut groups: Vec<(Uuid, Group)> = listing.groups.into_iter().collect();
        groups.retain(|(instance, _)| !self.refused.contains_key(instance));
        let looked = |instance: &Uuid| self.rivals.looked(*instance);
        if groups
            .iter()
            .any(|(instance, _)| looked(instance).is_some())
            && groups.len() > MOST_LOOKS
        {
            groups.sort_by_key(|(instance, _)| looked(instance));
            let unknown = groups.partition_point(|(instance, _)| looked(instance).is_none());
            groups.truncate(unknown.max(MOST_LOOKS));
        }
        for (_, group) in &mut groups {
            group.files.sort_unstable();
        }
        // The oldest last.
        groups.sort_by_cached_key(|(instance, group)| {
            let first = group.files.first();
            let status = first.map(|id| directory.status(&names::segment(*instance, *id)));
            let modified = status.and_then(Result::ok).map(|status| status.modified);
            std::cmp::Reverse(modified)
        });
        self.groups = groups;
        Ok(self.quiet_legacy(directory, listing.legacy))
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether somebody's death may show just by time, or somebody could not be looked at.
    pub fn is_undecided(&self) -> bool {
        self.rivals.has_silent() || !self.refused.is_empty()
    }

    /// The next instance that is dead, and what it has left.
    pub fn next(&mut self, directory: &Directory) -> Option<(Claim, Group)> {
        while let Some((instance, group)) = self.groups.pop() {
            match self.rivals.claim(directory, instance, now()) {
                Ok(Some(claim)) => return Some((claim, group)),
                Ok(None) => {}
                Err(error) => self.refuse(instance, &error),
            }
        }
        None
    }

    /// There is more of it than could be taken now.
    pub fn put_back(&mut self, instance: Uuid, group: Group) {
        self.groups.push((instance, group));
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
