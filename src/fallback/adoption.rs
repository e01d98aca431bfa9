//! Taking files over: a rename, which only one process can do, makes them this instance's.
//!
//! A progress file is copied to the new name before the file gets it, and removed under the old one
//! after that: whatever happens in between, the file has its progress beside it.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use tracing::{debug, info, warn};
use uuid::Uuid;

use super::backlog::{BLOCKED, Backlog};
use super::clock::now;
use super::directory::Directory;
use super::listing::Group;
use super::names::{self, SegmentId};
use super::rivals::Claim;
use super::segment::Segment;

/// No more is taken over while so much of it waits: others may take the rest.
const MOST_FILES: usize = 512;
const MOST_BYTES: u64 = 256 << 20;
/// The same, with those that wait for a topic, or for their removal.
const MOST_WAITING: usize = 50_000;
/// A daily folder of 3.x is left standing as long as a process of 3.x may be using it.
const FOLDER_IN_USE: Duration = Duration::from_secs(48 * 3600);

impl Backlog {
    /// Looks for files whose owners are gone.
    pub fn list_heritage(&mut self) {
        let own = self.instance.uuid;
        let listed = self
            .instance
            .open_directory()
            .and_then(|directory| Ok((self.heritage.list(&directory, own)?, directory)));
        match listed {
            Ok((legacy, directory)) => {
                for (folder, name) in legacy {
                    if let Err(error) = self.take_legacy(&directory, folder.as_deref(), &name) {
                        let path = directory
                            .path_of(folder.as_deref().unwrap_or(""))
                            .join(&name);
                        warn!(path = %path.display(), %error, "a fallback file of an earlier version cannot be taken over");
                    }
                }
                self.sort();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let directory = self.instance.path().display();
                warn!(%directory, %error, "the fallback directory cannot be read");
                self.statistics.file_error(error.to_string());
            }
        }
    }

    /// Whether somebody has left something. Nothing of it is touched.
    ///
    /// # Errors
    /// That can't be told now.
    pub fn has_heritage(&mut self) -> io::Result<bool> {
        let directory = match self.instance.open_directory() {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let legacy = self.heritage.list(&directory, self.instance.uuid)?;
        while let Some((claim, group)) = self.heritage.next(&directory) {
            if !group.files.is_empty() {
                self.heritage.put_back(claim.instance, group);
                return Ok(true);
            }
        }
        Ok(!legacy.is_empty())
    }

    /// How many files and bytes may still be taken over.
    fn room(&self) -> (usize, u64) {
        let own = self.instance.uuid;
        let (mut active, mut waiting, mut bytes) = (0, 0, 0);
        for segment in self.segments().filter(|segment| segment.id.0 != own) {
            if segment.done.is_some() || segment.ledger.is_pinned(segment.length) {
                waiting += 1;
            } else {
                active += 1;
                bytes += segment.bytes_left();
            }
        }
        let files = MOST_FILES.saturating_sub(active);
        let all = MOST_WAITING.saturating_sub(active + waiting);
        (files.min(all), MOST_BYTES.saturating_sub(bytes))
    }

    /// Takes over from those that are dead, as far as there is room.
    pub fn take_over(&mut self) {
        self.open_again();
        if self.heritage.is_empty() {
            return;
        }
        let mut room = self.room();
        // Not for each file that is done anew.
        if room.0 < MOST_FILES / 2 || room.1 == 0 {
            return;
        }
        let directory = match self.directory() {
            Ok(directory) => directory,
            Err(error) => return debug!(%error, "the fallback directory cannot be opened"),
        };
        let mut is_held = false;
        while room.0 > 0 && room.1 > 0 {
            let Some((claim, group)) = self.heritage.next(&directory) else {
                break;
            };
            let instance = claim.instance;
            if !group.files.is_empty() && !is_held {
                if let Err(error) = self.instance.hold_lease(&directory) {
                    self.heritage.put_back(instance, group);
                    return debug!(%error, "no lock file can be made");
                }
                is_held = true;
            }
            if let Err(error) = self.take(&directory, claim, group, &mut room) {
                self.heritage.refuse(instance, &error);
            }
        }
        self.sort();
    }

    fn take(
        &mut self,
        directory: &Directory,
        claim: Claim,
        mut group: Group,
        room: &mut (usize, u64),
    ) -> io::Result<()> {
        let owner = claim.instance;
        let mut failed = None;
        let files = std::mem::take(&mut group.files);
        for (at, id) in files.iter().copied().enumerate() {
            if at > 0 && (room.0 == 0 || room.1 == 0) {
                group.files = files[at..].to_vec();
                self.heritage.put_back(owner, group);
                return Ok(());
            }
            let new = self.new_id(id);
            let (old_name, name) = (
                names::segment(owner, id),
                names::segment(self.instance.uuid, new),
            );
            let is_expected = group.progress.binary_search(&id).is_ok();
            let has_progress = match self.rename(directory, &old_name, &name, is_expected) {
                Ok(Some(has_progress)) => has_progress,
                Ok(None) => continue,
                // The others can be taken, though.
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            if group.rejected.binary_search(&id).is_ok() {
                // What stays behind is still found by whoever looks for it.
                let _ = directory.rename(
                    &names::rejected(&old_name),
                    directory,
                    &names::rejected(&name),
                );
            }
            // Of one that was taken over before, nobody knows how certain that was.
            let is_certain = claim.is_certain && id.0 == owner;
            let bytes = self.open(directory, name, new, is_certain, has_progress);
            *room = (room.0.saturating_sub(1), room.1.saturating_sub(bytes));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let is_known = |id: &SegmentId| files.binary_search(id).is_ok();
        for id in group.progress.iter().filter(|id| !is_known(id)) {
            // Its file was removed, and then the process died.
            directory.remove_if_there(&names::progress(&names::segment(owner, *id)))?;
        }
        claim.complete(directory, self.instance.uuid)
    }

    /// A file that was copied by hand may come a second time.
    fn new_id(&self, id: SegmentId) -> SegmentId {
        let is_taken = self.segments.contains_key(&id) || id.0 == self.instance.uuid;
        if is_taken { (Uuid::new_v4(), 1) } else { id }
    }

    /// Returns whether there is progress beside the file; `None` if the file was not there.
    fn rename(
        &self,
        directory: &Directory,
        old: &str,
        new: &str,
        is_expected: bool,
    ) -> io::Result<Option<bool>> {
        let (old_progress, new_progress) = (names::progress(old), names::progress(new));
        // Looked for now: its writer may have lived when the directory was listed.
        let has_progress = match directory.read(&old_progress) {
            Ok(mut progress) => {
                let mut bytes = Vec::new();
                progress.read_to_end(&mut bytes)?;
                let mode = self.instance.modes().file;
                directory.replace(&new_progress, &bytes, mode, false)?;
                true
            }
            Err(error) if is_expected && error.kind() != io::ErrorKind::NotFound => {
                return Err(error);
            }
            // What is no plain file is none.
            Err(_) => false,
        };
        let renamed = directory.rename(old, directory, new);
        if has_progress {
            let obsolete = if renamed.is_ok() {
                &old_progress
            } else {
                &new_progress
            };
            directory.remove_if_there(obsolete)?;
        }
        match renamed {
            Ok(()) => Ok(Some(has_progress)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the file's size.
    fn open(
        &mut self,
        directory: &Directory,
        name: String,
        id: SegmentId,
        is_certain: bool,
        has_progress: bool,
    ) -> u64 {
        let opened = Segment::open(directory, &name, id, has_progress, &self.topics);
        match opened {
            Ok(mut segment) => {
                segment.is_certain = is_certain;
                info!(path = %directory.path_of(&name).display(), "fallback file of another process taken over");
                self.statistics.add_backlog(1, segment.length);
                self.statistics.recovered(segment.messages);
                self.instance.created();
                let length = segment.length;
                self.add(segment);
                length
            }
            Err(error) => {
                warn!(path = %directory.path_of(&name).display(), %error, "a fallback file cannot be read now");
                self.statistics.file_error(error.to_string());
                let later = now() + BLOCKED;
                self.unopened.push((name, id, is_certain, later));
                0
            }
        }
    }

    /// What was taken over and could not be opened is tried again.
    fn open_again(&mut self) {
        let now = now();
        if self.unopened.iter().all(|(.., later)| *later > now) {
            return;
        }
        let Ok(directory) = self.instance.open_directory() else {
            return;
        };
        for (name, id, is_certain, _) in std::mem::take(&mut self.unopened) {
            if directory.has(&name).unwrap_or(true) {
                self.open(&directory, name, id, is_certain, true);
            }
        }
        self.sort();
    }

    /// Files of earlier versions hold no lock: their processes may live, and append to them.
    fn take_legacy(
        &mut self,
        directory: &Directory,
        folder: Option<&str>,
        name: &str,
    ) -> io::Result<()> {
        self.instance.hold_lease(directory)?;
        let id = (Uuid::new_v4(), 1);
        let new = names::segment(self.instance.uuid, id);
        match folder {
            None => directory.rename(name, directory, &new)?,
            Some(folder) => {
                let below = directory.open_below(folder)?;
                below.rename(name, directory, &new)?;
                if is_long_past(folder) {
                    // Fails as long as there is something in it.
                    let _ = directory.remove_below(folder);
                }
            }
        }
        let path = directory.path_of(folder.unwrap_or("")).join(name);
        info!(path = %path.display(), new, "fallback file of an earlier version taken over under a new name");
        self.open(directory, new, id, false, false);
        Ok(())
    }
}

/// Whether a daily folder, `<yyyymmdd>`, is of a day that no process of 3.x writes to any more.
fn is_long_past(folder: &str) -> bool {
    let Some(then) = SystemTime::now().checked_sub(FOLDER_IN_USE) else {
        return false;
    };
    let date = humantime::format_rfc3339_seconds(then).to_string();
    let date: String = date[..10].chars().filter(char::is_ascii_digit).collect();
    *folder < *date
}
