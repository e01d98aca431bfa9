//! The files that wait to be replayed: this instance's sealed ones, and what it has taken over.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use uuid::Uuid;

use super::clock::now;
use super::directory::Directory;
use super::heritage::Heritage;
use super::instance::Instance;
use super::ledger::Halted;
use super::names::SegmentId;
use super::segment::Segment;
use crate::message::{Amount, Reason, Topics};
use crate::options::ReplayConfig;
use crate::statistics::{Place, Statistics};

/// A file whose disk is in trouble is left alone for so long.
pub const BLOCKED: Duration = Duration::from_secs(10);
/// Whoever may still write to a file that is done has this long to do so, or to notice that it is not
/// his any more.
pub const GRACE: Duration = Duration::from_secs(5);
/// Files that were not due, and wait for a time or for their disk, are looked at again after this.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Messages are counted in pieces of this many bytes. Those of tests are smaller, as their files are.
const COUNT_PIECE: u64 = if cfg!(test) { 500 } else { 1 << 20 };

pub struct Backlog {
    pub(super) instance: Arc<Instance>,
    pub(super) topics: Arc<Topics>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) config: ReplayConfig,
    pub(super) segments: HashMap<SegmentId, Segment>,
    /// Oldest first; those of one writer in the order in which it wrote them. Some may be gone.
    order: VecDeque<SegmentId>,
    /// Those before this one are not due, unless something has changed meanwhile.
    seen: usize,
    last_look: Instant,
    pub(super) heritage: Heritage,
    /// Taken over, and could not be looked at: name, whether its writer is certainly dead, when to try
    /// again.
    pub(super) unopened: Vec<(String, SegmentId, bool, Instant)>,
    directory: Option<Arc<Directory>>,
    /// Files that were removed, or marked as done, since the directory was synced.
    pub(super) unsynced: u64,
    pub(super) last_sync: Instant,
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Read(SegmentId),
    /// All of it is settled.
    Finish(SegmentId),
}

impl Backlog {
    pub fn new(
        instance: Arc<Instance>,
        topics: Arc<Topics>,
        statistics: Arc<Statistics>,
        config: ReplayConfig,
    ) -> Self {
        Backlog {
            instance,
            topics,
            statistics,
            config,
            segments: HashMap::new(),
            order: VecDeque::new(),
            seen: 0,
            last_look: now(),
            heritage: Heritage::default(),
            unopened: Vec::new(),
            directory: None,
            unsynced: 0,
            last_sync: now(),
        }
    }

    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values()
    }

    pub fn segment(&mut self, id: SegmentId) -> Option<&mut Segment> {
        self.segments.get_mut(&id)
    }

    pub fn name(&self, id: SegmentId) -> Option<&str> {
        self.segments.get(&id).map(|segment| &*segment.name)
    }

    /// The directory as it is in this step.
    pub fn directory(&mut self) -> io::Result<Arc<Directory>> {
        if let Some(directory) = &self.directory {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(self.instance.open_directory()?);
        self.directory = Some(Arc::clone(&directory));
        Ok(directory)
    }

    /// A step begins.
    pub fn close_directory(&mut self) {
        self.directory = None;
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.unopened.is_empty()
    }

    /// The oldest file that may have something to send, or that only has to be removed, but for those
    /// that are being read.
    pub fn oldest_due(
        &mut self,
        halted: &Halted,
        is_read: impl Fn(SegmentId) -> bool,
    ) -> Option<Due> {
        let now = now();
        if now.duration_since(self.last_look) >= LOOK_INTERVAL {
            self.look_again();
        }
        let segments = &self.segments;
        let due = self
            .order
            .iter()
            .enumerate()
            .skip(self.seen)
            .find_map(|(at, id)| {
                let segment = segments.get(id)?;
                if segment.blocked_until.is_some_and(|until| until > now) || is_read(*id) {
                    return None;
                }
                if segment.ledger.is_complete(segment.length) {
                    let waits = segment.done.is_some_and(|at| at + GRACE > now);
                    return (!waits).then_some((at, Due::Finish(*id)));
                }
                let has_due = segment.ledger.has_due(segment.length, halted);
                has_due.then_some((at, Due::Read(*id)))
            });
        self.seen = due.map_or(self.order.len(), |(at, _)| at);
        due.map(|(_, due)| due)
    }

    /// Files that were not due may be now.
    pub fn look_again(&mut self) {
        self.seen = 0;
        self.last_look = now();
    }

    /// The oldest file, but for those that are being read, unless there is no other.
    pub fn oldest(&self, is_read: impl Fn(SegmentId) -> bool) -> Option<SegmentId> {
        let all = || {
            self.order
                .iter()
                .filter(|id| self.segments.contains_key(id))
        };
        let idle = all().find(|id| !is_read(**id));
        idle.or_else(|| all().next()).copied()
    }

    /// Takes over what the writer has sealed since.
    pub fn take_sealed(&mut self) {
        let all = self.instance.take_sealed();
        if all.is_empty() {
            return;
        }
        let directory = self.instance.open_directory();
        for sealed in all {
            let id = (self.instance.uuid, sealed.sequence);
            let mut segment = Segment::of_own(&sealed, id);
            let looked = match &directory {
                Ok(directory) => segment.look_at(directory),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            self.add(segment);
            match looked {
                Ok(more) => self.statistics.add_backlog(0, more),
                Err(error) => self.failed(id, "cannot be read", &error),
            }
        }
        self.sort();
    }

    pub(super) fn add(&mut self, segment: Segment) {
        self.order.push_back(segment.id);
        self.segments.insert(segment.id, segment);
    }

    /// Oldest first, but a writer's own order counts, whatever its clock has said.
    pub(super) fn sort(&mut self) {
        let mut ids: Vec<SegmentId> = self.segments.keys().copied().collect();
        ids.sort_unstable();
        let (mut keyed, mut latest) = (Vec::with_capacity(ids.len()), (Uuid::nil(), i64::MIN));
        for id in ids {
            if latest.0 != id.0 {
                latest = (id.0, i64::MIN);
            }
            latest.1 = latest.1.max(self.segments[&id].oldest);
            keyed.push((latest.1, id));
        }
        keyed.sort_unstable();
        self.order = keyed.into_iter().map(|(_, id)| id).collect();
        self.look_again();
    }

    /// Counts the next messages of a file. Returns whether there are more to be read now.
    pub fn count_on(&mut self, directory: &Directory, id: SegmentId) -> io::Result<bool> {
        let Some(segment) = self.segments.get_mut(&id) else {
            return Ok(false);
        };
        let before = segment.counted();
        let messages = segment.count_on(directory, &self.topics, COUNT_PIECE)?;
        self.statistics.recovered(messages);
        Ok(segment.counted() > before)
    }

    /// Counts some messages of files that have not been read so far. Returns whether there are more.
    pub fn count_ahead(&mut self) -> bool {
        let now = now();
        let mut uncounted = self.order.iter().filter(|id| {
            self.segments.get(id).is_some_and(|segment| {
                !segment.is_counted() && segment.blocked_until.is_none_or(|until| until <= now)
            })
        });
        let Some(id) = uncounted.next().copied() else {
            return false;
        };
        let has_more = uncounted.next().is_some();
        let Ok(directory) = self.directory() else {
            return false;
        };
        match self.count_on(&directory, id) {
            Ok(more) => more || has_more,
            // Whoever reads it meets with it again.
            Err(_) => false,
        }
    }

    /// The file is not there any more.
    pub(super) fn gone(&mut self, id: SegmentId) {
        let Some(segment) = self.forget(id) else {
            return;
        };
        if segment.messages == 0 {
            return;
        }
        let (path, messages) = (self.path_of(&segment.name), segment.messages);
        let to = if self.instance.was_taken_over(id) {
            warn!(%path, messages, "another process has taken this fallback file over: its messages are handed over");
            Place::HandedOver
        } else {
            error!(%path, messages, "a fallback file was removed by somebody else; its messages are lost");
            self.statistics.file_error(format!("{path} was removed"));
            Place::Discarded(Reason::FileRemoved)
        };
        let amount = Amount { messages, bytes: 0 };
        self.statistics.transfer(Place::Disk, to, amount);
    }

    pub(super) fn forget(&mut self, id: SegmentId) -> Option<Segment> {
        let segment = self.segments.remove(&id)?;
        self.statistics.subtract_backlog(1, segment.length);
        self.instance.removed();
        // So that what is gone does not slow the search for the oldest down.
        let segments = &self.segments;
        if self.order.len() > 2 * segments.len() + 16 {
            self.order.retain(|id| segments.contains_key(id));
            self.seen = 0;
            self.look_again();
        }
        while let Some(first) = self.order.front()
            && !self.segments.contains_key(first)
        {
            self.order.pop_front();
            self.seen = self.seen.saturating_sub(1);
        }
        Some(segment)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        self.instance.path().join(name).display().to_string()
    }

    /// The disk is in trouble, and other files come first; or the file is gone.
    pub fn failed(&mut self, id: SegmentId, problem: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound && self.instance.path().is_dir() {
            return self.gone(id);
        }
        let Some(segment) = self.segments.get_mut(&id) else {
            return;
        };
        segment.blocked_until = Some(now() + BLOCKED);
        let path = self.instance.path().join(&segment.name);
        let path = path.display();
        warn!(%path, %error, "a fallback file {problem}; it is tried again later");
        self.statistics
            .file_error(format!("{path} {problem}: {error}"));
    }

    /// Reading has failed. Returns whether it goes on without what can't be read.
    pub fn read_failed(&mut self, id: SegmentId, error: &io::Error) -> bool {
        let Some(segment) = self.segments.get_mut(&id) else {
            return false;
        };
        if !segment.read_failed(error) {
            self.failed(id, "cannot be read", error);
            return false;
        }
        let path = self.path_of(&self.segments[&id].name);
        info!(%path, "what the disk cannot read of a fallback file is skipped");
        true
    }
}
