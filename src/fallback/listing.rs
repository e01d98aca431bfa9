//! What is in a fallback directory.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::names::{self, FileKind};

#[derive(Default)]
pub struct Listing {
    pub groups: BTreeMap<Uuid, Group>,
    pub progress: Vec<PathBuf>,
    /// Locks that were being made.
    pub unfinished: Vec<DirEntry>,
    /// Files of earlier versions.
    pub legacy: Vec<DirEntry>,
}

/// Files of one instance.
#[derive(Default)]
pub struct Group {
    pub files: Vec<(u32, PathBuf)>,
    /// When one of them was last written to.
    pub changed: Option<SystemTime>,
}

impl Listing {
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match names::kind(&name) {
                FileKind::Segment { instance, sequence } => {
                    let modified = entry.metadata().and_then(|metadata| metadata.modified());
                    let group = listing.groups.entry(instance).or_default();
                    group.changed = group.changed.max(modified.ok());
                    group.files.push((sequence, entry.path()));
                }
                FileKind::Lock { instance } => {
                    listing.groups.entry(instance).or_default();
                }
                FileKind::Progress => listing.progress.push(entry.path()),
                FileKind::Unfinished => listing.unfinished.push(entry),
                FileKind::Legacy => listing.legacy.push(entry),
                FileKind::Rejected => {}
                FileKind::Other if names::is_daily_folder(&name) => {
                    let Ok(entries) = fs::read_dir(entry.path()) else {
                        continue;
                    };
                    let is_daily_file = |entry: &DirEntry| {
                        entry.file_name().to_str().is_some_and(names::is_daily_file)
                    };
                    listing
                        .legacy
                        .extend(entries.flatten().filter(is_daily_file));
                }
                FileKind::Other => {}
            }
        }
        Ok(listing)
    }
}
