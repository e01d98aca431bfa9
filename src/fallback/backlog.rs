//! The files that wait to be replayed: this instance's sealed ones, and what dead ones have left.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{error, info, warn};
use uuid::Uuid;

use super::instance::Instance;
use super::lease::{Lease, QUIET};
use super::ledger::Halted;
use super::listing::{Group, Listing};
use super::names;
use super::segment::{Segment, SegmentId};
use crate::message::{Amount, Reason, Topics};
use crate::statistics::{Place, Statistics};

/// A file whose disk is in trouble is left alone for so long.
const BLOCKED: Duration = Duration::from_secs(10);
/// Files taken over are counted first, which means reading them: after so many bytes, what is older is
/// replayed before more is taken over.
const SCAN_BUDGET: u64 = 1 << 30;

pub struct Backlog {
    instance: Arc<Instance>,
    topics: Arc<Topics>,
    statistics: Arc<Statistics>,
    archive: bool,
    /// Oldest first; those of one instance in the order in which it wrote them.
    segments: Vec<Segment>,
    leases: HashMap<Uuid, Lease>,
    /// Files of earlier versions, which have no lock: size, time of change, and since when these are so.
    legacy: HashMap<PathBuf, (u64, SystemTime, Instant)>,
}

impl Backlog {
    pub fn new(
        instance: Arc<Instance>,
        topics: Arc<Topics>,
        statistics: Arc<Statistics>,
        archive: bool,
    ) -> Self {
        Backlog {
            instance,
            topics,
            statistics,
            archive,
            segments: Vec::new(),
            leases: HashMap::new(),
            legacy: HashMap::new(),
        }
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn segment(&mut self, id: SegmentId) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.id() == id)
    }

    /// The oldest file that may have something to send, or that only has to be removed.
    pub fn oldest_due(&self, halted: &Halted) -> Option<&Segment> {
        let now = Instant::now();
        self.segments.iter().find(|segment| {
            segment.blocked_until.is_none_or(|until| until <= now)
                && (segment.ledger.has_due(segment.length, halted)
                    || segment.ledger.is_complete(segment.length))
        })
    }

    /// Takes over what the writer has sealed since.
    pub fn take_sealed(&mut self) {
        let all = self.instance.take_sealed();
        if all.is_empty() {
            return;
        }
        for sealed in all {
            let mut segment = Segment::of_own(&sealed, self.instance.uuid);
            let opened = segment.date().and_then(|()| segment.grow(&self.topics));
            self.segments.push(segment);
            match opened {
                // Lines that could not be cut off again after a failed write.
                Ok((messages, bytes)) => {
                    self.statistics.recovered(messages);
                    self.statistics.add_backlog(0, bytes);
                }
                Err(error) => self.failed(
                    (self.instance.uuid, sealed.sequence),
                    "cannot be read",
                    &error,
                ),
            }
        }
        self.sort();
    }

    /// A file was removed by somebody else, with messages that were counted.
    fn lost(&self, path: &Path, messages: u64) {
        if messages == 0 {
            return;
        }
        error!(path = %path.display(), messages, "a fallback file was removed by somebody else; its messages are lost");
        self.statistics
            .file_error(format!("{} was removed", path.display()));
        let amount = Amount { messages, bytes: 0 };
        self.statistics
            .transfer(Place::Disk, Place::Discarded(Reason::FileRemoved), amount);
    }

    /// Oldest first, but an instance's own order counts, whatever its clock has said.
    fn sort(&mut self) {
        self.segments.sort_by_key(Segment::id);
        let mut keys: HashMap<SegmentId, i64> = HashMap::new();
        let mut latest = (Uuid::nil(), i64::MIN);
        for segment in &self.segments {
            if latest.0 != segment.instance {
                latest = (segment.instance, i64::MIN);
            }
            latest.1 = latest.1.max(segment.oldest);
            keys.insert(segment.id(), latest.1);
        }
        self.segments
            .sort_by_key(|segment| (keys.get(&segment.id()).copied(), segment.id()));
    }

    /// Looks for files whose owner is gone.
    pub fn scan(&mut self) {
        match Listing::read(self.instance.directory()) {
            Ok(listing) => self.adopt(listing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let directory = self.instance.directory().display();
                warn!(%directory, %error, "the fallback directory cannot be read");
                self.statistics.file_error(error.to_string());
            }
        }
    }

    fn adopt(&mut self, listing: Listing) {
        for path in listing.progress {
            // Its file was removed, and then the process died.
            if !names::segment_of_progress(&path).exists() {
                let _ = fs::remove_file(&path);
            }
        }
        remove_unfinished(&listing.unfinished);
        let mut known: HashSet<SegmentId> = self.segments.iter().map(Segment::id).collect();
        let mut groups: Vec<(Uuid, Group)> = listing.groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| group.changed);
        let mut budget = SCAN_BUDGET;
        for (instance, mut group) in groups {
            if instance == self.instance.uuid {
                continue;
            }
            let changed = group.changed.unwrap_or(SystemTime::UNIX_EPOCH);
            match self.lease(instance, changed) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    warn!(%instance, %error, "fallback files of another process cannot be taken over");
                    continue;
                }
            }
            group.files.sort();
            for (sequence, path) in group.files {
                if known.insert((instance, sequence)) {
                    budget = budget.saturating_sub(self.open(path, instance, sequence));
                    if budget == 0 {
                        break;
                    }
                }
            }
            self.release_if_done(instance);
            if budget == 0 {
                break;
            }
        }
        self.adopt_legacy(listing.legacy);
        self.sort();
    }

    fn lease(&mut self, instance: Uuid, changed: SystemTime) -> io::Result<bool> {
        if self.leases.contains_key(&instance) {
            return Ok(true);
        }
        let lease = Lease::take_over(self.instance.directory(), instance, changed)?;
        let is_ours = lease.is_some();
        self.leases.extend(lease.map(|lease| (instance, lease)));
        Ok(is_ours)
    }

    /// Returns the file's size.
    fn open(&mut self, path: PathBuf, instance: Uuid, sequence: u32) -> u64 {
        match Segment::open(path.clone(), instance, sequence, &self.topics) {
            Ok(segment) => {
                info!(path = %path.display(), messages = segment.messages, "fallback file of another process taken over");
                let length = segment.length;
                self.statistics.recovered(segment.messages);
                self.statistics.add_backlog(1, length);
                self.segments.push(segment);
                length
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "a fallback file cannot be read now");
                self.statistics.file_error(error.to_string());
                0
            }
        }
    }

    fn adopt_legacy(&mut self, entries: Vec<DirEntry>) {
        let now = Instant::now();
        let mut seen = HashMap::new();
        for entry in entries {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let Ok(modified) = metadata.modified() else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            let (path, length) = (entry.path(), metadata.len());
            let since = match self.legacy.get(&path) {
                Some((size, time, since)) if (*size, *time) == (length, modified) => *since,
                _ => now,
            };
            // By two clocks: the file's, and this process's own, which nobody can set.
            let is_quiet = modified.elapsed().is_ok_and(|age| age >= QUIET);
            if is_quiet || now.duration_since(since) >= QUIET {
                if let Err(error) = self.rename_legacy(&path) {
                    warn!(path = %path.display(), %error, "a fallback file of an earlier version cannot be taken over");
                }
            } else {
                seen.insert(path, (length, modified, since));
            }
        }
        self.legacy = seen;
    }

    /// A name of this version makes it one process's alone: only one rename succeeds.
    fn rename_legacy(&mut self, path: &Path) -> io::Result<()> {
        let (directory, uuid) = (self.instance.directory(), Uuid::new_v4());
        let lease = Lease::create(directory, uuid, self.instance.modes())?;
        let new = names::segment(directory, uuid, 1);
        if let Err(error) = fs::rename(path, &new) {
            lease.retire();
            return Err(error);
        }
        info!(path = %path.display(), new = %new.display(), "fallback file of an earlier version taken over under a new name");
        if let Some(folder) = path.parent().filter(|folder| *folder != directory) {
            // Fails as long as there is something in it.
            let _ = fs::remove_dir(folder);
        }
        self.leases.insert(uuid, lease);
        self.open(new, uuid, 1);
        Ok(())
    }

    /// A file of which all is settled goes; one that has grown meanwhile stays.
    pub fn remove(&mut self, id: SegmentId) {
        let topics = Arc::clone(&self.topics);
        let Some(segment) = self.segment(id) else {
            return;
        };
        let path = segment.path.clone();
        if let Err(error) = segment.sync_rejects() {
            return self.failed(id, "has lines that cannot be kept apart", &error);
        }
        match segment.grow(&topics) {
            Ok((_, 0)) => {}
            Ok((messages, bytes)) => {
                self.statistics.recovered(messages);
                self.statistics.add_backlog(0, bytes);
                return;
            }
            Err(error) => return self.failed(id, "cannot be looked at", &error),
        }
        let done = if self.archive {
            let mode = self.instance.modes().directory;
            archive(&path, self.instance.directory(), mode)
        } else {
            fs::remove_file(&path)
        };
        match done {
            Ok(()) => self.forget(id),
            Err(error) => self.failed(id, "cannot be removed", &error),
        }
    }

    /// The file is gone. What was not settled is lost.
    fn forget(&mut self, id: SegmentId) {
        let Some(index) = self.segments.iter().position(|segment| segment.id() == id) else {
            return;
        };
        let segment = self.segments.remove(index);
        self.lost(&segment.path, segment.messages);
        segment.remove_progress();
        self.statistics.subtract_backlog(1, segment.length);
        if segment.instance == self.instance.uuid {
            self.instance.removed();
        } else {
            self.release_if_done(segment.instance);
        }
    }

    /// The disk is in trouble, and other files come first; or the file is gone.
    pub fn failed(&mut self, id: SegmentId, problem: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            return self.forget(id);
        }
        let Some(segment) = self.segment(id) else {
            return;
        };
        segment.blocked_until = Some(Instant::now() + BLOCKED);
        let path = segment.path.display().to_string();
        warn!(%path, %error, "a fallback file {problem}; it is tried again later");
        self.statistics
            .file_error(format!("{path} {problem}: {error}"));
    }

    fn release_if_done(&mut self, instance: Uuid) {
        let is_done = !self
            .segments
            .iter()
            .any(|segment| segment.instance == instance);
        if is_done && let Some(lease) = self.leases.remove(&instance) {
            // Files that could not be opened are still there, for the next scan.
            let prefix = format!("fallback-{instance}-");
            let has_more = fs::read_dir(self.instance.directory()).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    let name = entry.file_name();
                    let name = name.to_str().unwrap_or_default();
                    name.starts_with(&prefix) && name.ends_with(".log")
                })
            });
            if !has_more {
                lease.retire();
            }
        }
    }
}

/// It takes no time to make one: what has been there for long is of a process that died over it.
fn remove_unfinished(entries: &[DirEntry]) {
    for entry in entries {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= QUIET)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn archive(path: &Path, directory: &Path, mode: u32) -> io::Result<()> {
    let folder = directory.join("archive");
    super::file::create_directory(&folder, mode)?;
    let name = path.file_name().unwrap_or_default();
    fs::rename(path, folder.join(name))
}
