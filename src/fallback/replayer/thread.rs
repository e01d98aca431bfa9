//! Files back into messages: which one is read next, how far, and what becomes of it.
//!
//! One file is read at a time, oldest first; when its end is reached the next is begun, while the
//! messages of those before are still on their way: many small files go side by side, and no more than
//! one is open. Messages are numbered across files and offered to the worker; as verdicts come back the
//! [`Ledger`](crate::fallback::ledger::Ledger)s advance, and so do progress files. The room for messages
//! on their way is counted from what progress files say, so a crash repeats no more than that.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::protocol::{Offer, Offers, Permission, ReplayerParts};
use crate::fallback::backlog::{Backlog, Due};
use crate::fallback::clock::now;
use crate::fallback::instance::Instance;
use crate::fallback::ledger::Halted;
use crate::fallback::lines::Lines;
use crate::fallback::meter::Meter;
use crate::fallback::names::SegmentId;
use crate::fallback::rejected_limit::RejectedLimit;
use crate::message::{MANY_TOPICS, TopicId, Topics};
use crate::options::{Fsync, ReplayConfig};
use crate::statistics::{ReplayGauges, ReplayState, Statistics};

/// How often other processes' files are looked for.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Progress is written down when so much has been settled since, or after [`SAVE_INTERVAL`].
const SAVE_SHARE: u64 = 8;
const SAVE_INTERVAL: Duration = Duration::from_millis(20);
/// How often it is synced, with `fallback.fsync: 'interval'`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Nothing to do but to wait for a command.
const IDLE: Duration = Duration::from_secs(1);

mod passes;
mod verdicts;

pub struct Replay {
    pub(super) config: ReplayConfig,
    pub(super) instance: Arc<Instance>,
    pub(super) topics: Arc<Topics>,
    pub(super) statistics: Arc<Statistics>,
    share: u64,
    pub(super) single_topic: bool,
    pub(super) backlog: Backlog,
    pub(super) permission: Permission,
    /// With [`Permission::One`]: the one was offered, or there is none.
    pub(super) offered_one: bool,
    pub(super) halted: Halted,
    pub(super) resumed: Vec<TopicId>,
    /// When more topics than these are known, those of no file are released.
    release_at: usize,
    /// Files of which something is on its way, and the one that is being read.
    pub(super) passes: HashMap<SegmentId, Pass>,
    pub(super) reading: Option<(SegmentId, Lines)>,
    /// Which messages are whose, by their numbers.
    pub(super) runs: VecDeque<Run>,
    pub(super) next_id: u64,
    next_serial: u64,
    has_told: bool,
    /// The directory could not be looked through at the start.
    is_unsure: bool,
    last_scan: Option<Instant>,
    /// `maxMessagesPerSecond`: not before this.
    pub(super) paced_until: Instant,
    rejected_limit: RejectedLimit,
    meter: Meter,
    gauges: ReplayGauges,
}

/// One file, from the first unsettled message to the end.
pub struct Pass {
    pub(super) serial: u64,
    /// Nothing more is read of it: its end was reached, or something came in between.
    pub(super) ended: bool,
    /// Cost of what was settled since the progress was written down.
    unsaved: u64,
    last_save: Instant,
    last_sync: Instant,
}

/// Messages of one pass that were numbered in one go.
pub struct Run {
    pub(super) first: u64,
    pub(super) count: u64,
    /// Those that no verdict has come for.
    pub(super) left: u64,
    pub(super) segment: SegmentId,
    pub(super) pass: u64,
    /// The first one's number in its ledger.
    pub(super) local: u64,
}

impl Replay {
    pub fn new(parts: ReplayerParts) -> Self {
        let backlog = Backlog::new(
            Arc::clone(&parts.instance),
            Arc::clone(&parts.topics),
            Arc::clone(&parts.statistics),
            parts.config,
        );
        let now = now();
        Replay {
            config: parts.config,
            instance: parts.instance,
            topics: parts.topics,
            statistics: parts.statistics,
            share: parts.share,
            single_topic: parts.single_topic,
            backlog,
            permission: Permission::Hold,
            offered_one: false,
            halted: Halted::new(),
            resumed: Vec::new(),
            release_at: MANY_TOPICS,
            passes: HashMap::new(),
            reading: None,
            runs: VecDeque::new(),
            next_id: 0,
            next_serial: 0,
            has_told: false,
            is_unsure: false,
            last_scan: None,
            paced_until: now,
            rejected_limit: RejectedLimit::new(parts.config.rejected),
            meter: Meter::new(now),
            gauges: ReplayGauges::default(),
        }
    }

    /// At the start: what have earlier processes left? Nothing is taken before Kafka is there: others
    /// may reach it sooner.
    pub fn look_around(&mut self, offers: &Offers) {
        let found = self.backlog.has_heritage();
        self.is_unsure = found.is_err();
        self.has_told = found.unwrap_or_else(|error| {
            warn!(directory = %self.instance.path().display(), %error, "the fallback directory cannot be looked through");
            false
        });
        self.gauge();
        if self.has_told {
            offers(Offer::Found);
        }
    }

    pub fn grant(&mut self, permission: Permission) {
        self.permission = permission;
        self.offered_one = false;
        self.resumed.extend(self.halted.iter().copied());
    }

    pub fn resume(&mut self, topic: TopicId) {
        self.resumed.push(topic);
    }

    /// Does one piece of work. Returns for how long there is nothing to do.
    pub fn step(&mut self, offers: &Offers) -> Duration {
        self.backlog.close_directory();
        self.backlog.take_sealed();
        if self.instance.is_room_wanted() {
            let has = self.discard_oldest();
            self.instance.made_room(has);
        }
        if self.permission == Permission::Hold || !self.resumed.is_empty() {
            self.stop_reading();
        }
        self.end_passes();
        if self.passes.is_empty() {
            for topic in self.resumed.drain(..) {
                self.halted.remove(&topic);
                self.backlog.look_again();
            }
            self.release_topics();
        }
        let mut wait = self.save_due().min(self.backlog.sync_removals());
        self.look_for_heritage(offers);
        wait = wait.min(self.read_on(offers));
        if !wait.is_zero() && self.permission == Permission::Flow && self.backlog.count_ahead() {
            wait = Duration::ZERO;
        }
        self.rejected_limit.keep(&self.instance);
        self.gauge();
        wait
    }

    /// Of files whose messages have all been settled, no topic is needed any more.
    fn release_topics(&mut self) {
        if self.topics.count() <= self.release_at {
            return;
        }
        let mut needed: HashSet<TopicId> = HashSet::new();
        for segment in self.backlog.segments.values() {
            needed.extend(segment.ledger.topics());
        }
        let kept = self.topics.release_filed(|topic| needed.contains(&topic));
        self.release_at = MANY_TOPICS.max(2 * kept);
        self.halted.retain(|topic| needed.contains(topic));
    }

    fn stop_reading(&mut self) {
        self.reading = None;
        for pass in self.passes.values_mut() {
            pass.ended = true;
        }
    }

    fn look_for_heritage(&mut self, offers: &Offers) {
        let is_due = self
            .last_scan
            .is_none_or(|last| now().duration_since(last) >= SCAN_INTERVAL);
        if self.permission == Permission::Hold {
            // Somebody was not known to be dead at the start, or could not be looked at.
            let is_open = self.is_unsure || self.backlog.heritage.is_undecided();
            if is_due && !self.has_told && is_open {
                self.last_scan = Some(now());
                self.look_around(offers);
            }
            return;
        }
        if is_due && self.backlog.heritage.is_empty() {
            self.last_scan = Some(now());
            self.backlog.list_heritage();
        }
        self.backlog.take_over();
    }

    /// What is on its way, and what a crash would repeat besides.
    fn used(&self) -> (u64, u64) {
        let backlog = &self.backlog;
        self.passes
            .iter()
            .fold((0, 0), |(cost, unsaved), (id, pass)| {
                let segment = backlog.segments.get(id);
                let more = segment.map_or(0, |segment| segment.ledger.cost());
                (cost + more, unsaved + pass.unsaved)
            })
    }

    fn read_on(&mut self, offers: &Offers) -> Duration {
        let wait = self.until_allowed();
        if !wait.is_zero() {
            return wait;
        }
        if !self.resumed.is_empty() {
            return IDLE;
        }
        let (on_its_way, unsaved) = self.used();
        let room = self.share.saturating_sub(on_its_way + unsaved);
        if room == 0 && on_its_way > 0 {
            return IDLE;
        }
        if self.read(room, offers) {
            return Duration::ZERO;
        }
        if self.permission == Permission::One && !self.offered_one && self.passes.is_empty() {
            self.offered_one = true;
            offers(Offer::Nothing);
        }
        IDLE
    }

    /// Until messages may be offered.
    fn until_allowed(&self) -> Duration {
        match self.permission {
            Permission::Hold => IDLE,
            Permission::One if self.offered_one => IDLE,
            Permission::One => Duration::ZERO,
            Permission::Flow => {
                let wait = self.paced_until.saturating_duration_since(now());
                wait.min(IDLE)
            }
        }
    }

    /// Begins to read the oldest file that has something to send. Returns whether there is one.
    pub(super) fn begin_next(&mut self) -> bool {
        loop {
            let passes = &self.passes;
            let due = self
                .backlog
                .oldest_due(&self.halted, |id| passes.contains_key(&id));
            match due {
                None => return false,
                Some(Due::Finish(id)) => self.backlog.finish(id),
                Some(Due::Read(id)) => {
                    if self.begin(id) {
                        return true;
                    }
                }
            }
        }
    }

    fn begin(&mut self, id: SegmentId) -> bool {
        let directory = self.backlog.directory();
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return false;
        };
        segment.blocked_until = None;
        segment.done = None;
        segment.ledger.begin_pass(0, &self.halted);
        let mut more = 0;
        let opened = directory.and_then(|directory| {
            if !segment.is_certain {
                more = segment.grow(&directory)?;
            }
            segment.lines(&directory, segment.ledger.position())
        });
        self.statistics.add_backlog(0, more);
        match opened {
            Ok(lines) => {
                debug!(name = segment.name, "replaying a fallback file");
                let now = now();
                let pass = Pass {
                    serial: self.next_serial,
                    ended: false,
                    unsaved: 0,
                    last_save: now,
                    last_sync: now,
                };
                self.next_serial += 1;
                self.passes.insert(id, pass);
                self.reading = Some((id, lines));
                true
            }
            Err(error) => {
                segment.ledger.end_pass(&self.halted);
                self.backlog.failed(id, "cannot be opened", &error);
                false
            }
        }
    }

    pub fn close(mut self) {
        self.stop_reading();
        self.end_passes();
        let open: Vec<SegmentId> = self.passes.keys().copied().collect();
        for id in open {
            self.save(id, self.config.fsync != Fsync::Never);
        }
        self.permission = Permission::Hold;
        self.backlog.last_sync -= SYNC_INTERVAL.min(now().duration_since(self.backlog.last_sync));
        self.backlog.sync_removals();
        self.gauge();
    }

    fn gauge(&mut self) {
        let passes = &self.passes;
        // Between two files it goes on.
        let is_busy = !passes.is_empty()
            || self
                .backlog
                .oldest_due(&self.halted, |id| passes.contains_key(&id))
                .is_some();
        let state = if self.backlog.is_empty() {
            ReplayState::Idle
        } else if is_busy && self.permission != Permission::Hold {
            ReplayState::Replaying
        } else {
            ReplayState::Waiting
        };
        let is_due = self.meter.is_due(state);
        let file = self
            .reading
            .as_ref()
            .and_then(|(id, _)| self.backlog.name(*id));
        if !is_due && file == self.gauges.file.as_deref() {
            return;
        }
        self.gauges.file = file.map(str::to_owned);
        self.gauges.state = state;
        if is_due {
            let segments = || self.backlog.segments();
            let bytes = segments().map(|segment| segment.bytes_left()).sum();
            self.gauges.bytes = bytes;
            self.gauges.messages = segments().map(|segment| segment.messages).sum();
            self.gauges.held = segments().map(|segment| segment.ledger.held_lines()).sum();
            self.gauges.oldest = segments().map(|segment| segment.oldest).min();
            self.gauges.bytes_per_second = self.meter.rate(bytes, state);
        }
        self.statistics.set_replay(self.gauges.clone());
    }
}
