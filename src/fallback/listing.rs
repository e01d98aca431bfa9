//! What is in a fallback directory, by names alone: however many files there are, none is looked at.

use std::collections::HashMap;
use std::io;

use uuid::Uuid;

use super::directory::{Directory, Entry};
use super::names::{self, FileKind, SegmentId};

/// Files of this many instances are remembered at once; the others' turn comes when these are done.
const MOST_GROUPS: usize = 200_000;

#[derive(Default)]
pub struct Listing {
    pub groups: HashMap<Uuid, Group>,
    /// Files that were being made.
    pub unfinished: Vec<String>,
    /// Files of earlier versions, and the folders that they are in.
    pub legacy: Vec<(Option<String>, String)>,
}

/// What one instance has there.
#[derive(Default)]
pub struct Group {
    pub files: Vec<SegmentId>,
    /// Those that there is progress beside, if only of files that are gone.
    pub progress: Vec<SegmentId>,
    pub has_lock: bool,
}

impl Listing {
    pub fn read(directory: &Directory) -> io::Result<Self> {
        let mut listing = Listing::default();
        for entry in directory.entries()? {
            listing.add(directory, entry?);
        }
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
            FileKind::Segment { owner, id } => {
                if let Some(group) = self.group(owner) {
                    group.files.push(id);
                }
            }
            FileKind::Lock { instance } => {
                if let Some(group) = self.group(instance) {
                    group.has_lock = true;
                }
            }
            FileKind::Progress { owner, id } => {
                if let Some(group) = self.group(owner) {
                    group.progress.push(id);
                }
            }
            FileKind::Unfinished => self.unfinished.push(entry.name),
            FileKind::Legacy => self.legacy.push((None, entry.name)),
            // These go with their file, or are kept for their reader.
            FileKind::Rejected { .. } | FileKind::Damaged | FileKind::Other => {}
        }
    }

    fn group(&mut self, owner: Uuid) -> Option<&mut Group> {
        if self.groups.len() >= MOST_GROUPS {
            return self.groups.get_mut(&owner);
        }
        Some(self.groups.entry(owner).or_default())
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
