//! What is in a fallback directory, by names alone: however many files there are, none is looked at.

use std::io;

use uuid::Uuid;

use super::directory::{Directory, Entry};
use super::names::{self, FileKind, SegmentId};

/// So many files are remembered at once, of whole instances; the others' turn comes when these are done.
const MOST_FOUND: usize = 400_000;

/// What a file is to its instance. A lock is remembered where it tells of the instance alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    File,
    /// Beside a file, or left by one that is gone.
    Progress,
    Rejected,
    Lock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub owner: Uuid,
    pub part: Part,
    pub id: SegmentId,
}

#[derive(Default)]
pub struct Listing {
    /// In order.
    pub found: Vec<Found>,
    /// Files that were being made.
    pub unfinished: Vec<String>,
    /// Files of earlier versions, and the folders that they are in.
    pub legacy: Vec<(Option<String>, String)>,
    /// Instances from this one on are left for the next time.
    limit: Option<Uuid>,
}

/// What one instance has there, each in order.
#[derive(Default)]
pub struct Group {
    pub files: Vec<SegmentId>,
    pub progress: Vec<SegmentId>,
    pub rejected: Vec<SegmentId>,
}

impl Group {
    pub fn of(found: &[Found]) -> Self {
        let all = |part| {
            let of_part = found.iter().filter(move |found| found.part == part);
            of_part.map(|found| found.id).collect()
        };
        Group {
            files: all(Part::File),
            progress: all(Part::Progress),
            rejected: all(Part::Rejected),
        }
    }
}

impl Listing {
    pub fn read(directory: &Directory) -> io::Result<Self> {
        let mut listing = Listing::default();
        let mut most = MOST_FOUND;
        for entry in directory.entries()? {
            listing.add(directory, entry?);
            if listing.found.len() >= most {
                listing.keep_half();
                most = MOST_FOUND.max(listing.found.len() * 2);
            }
        }
        let found = &mut listing.found;
        found.sort_unstable();
        found.dedup_by(|next, before| {
            next.part == Part::Lock && next.owner == before.owner && before.part != Part::Rejected
        });
        found.shrink_to_fit();
        Ok(listing)
    }

    fn add(&mut self, directory: &Directory, entry: Entry) {
        let kind = names::kind(&entry.name);
        if entry.is_directory && names::is_daily_folder(&entry.name) {
            return self.add_folder(directory, entry.name);
        }
        // Links, pipes and the like are nobody's files.
        if !entry.is_plain_file {
            return;
        }
        match kind {
            FileKind::Segment { owner, id } => self.remember(owner, Part::File, id),
            FileKind::Lock { instance } => self.remember(instance, Part::Lock, (instance, 0)),
            FileKind::Progress { owner, id } => self.remember(owner, Part::Progress, id),
            FileKind::Rejected { owner, id } => self.remember(owner, Part::Rejected, id),
            FileKind::Unfinished => self.unfinished.push(entry.name),
            FileKind::Legacy => self.legacy.push((None, entry.name)),
            FileKind::Damaged | FileKind::Other => {}
        }
    }

    fn remember(&mut self, owner: Uuid, part: Part, id: SegmentId) {
        if self.limit.is_none_or(|limit| owner < limit) {
            self.found.push(Found { owner, part, id });
        }
    }

    /// Forgets half of the instances; all that is there of the others is, and will be, remembered.
    fn keep_half(&mut self) {
        self.found.sort_unstable();
        let first = self.found.first().map(|found| found.owner);
        let middle = self
            .found
            .get(self.found.len() / 2)
            .map(|found| found.owner);
        let rest = self
            .found
            .partition_point(|found| Some(found.owner) < middle || Some(found.owner) == first);
        if let Some(found) = self.found.get(rest) {
            self.limit = Some(found.owner);
        }
        self.found.truncate(rest);
    }

    fn add_folder(&mut self, directory: &Directory, folder: String) {
        // One that can't be looked into is looked into next time.
        let Ok(below) = directory.open_below(&folder) else {
            return;
        };
        let Ok(entries) = below.entries() else {
            return;
        };
        for entry in entries.flatten() {
            if entry.is_plain_file && names::is_daily_file(&entry.name) {
                self.legacy.push((Some(folder.clone()), entry.name));
            }
        }
    }
}
