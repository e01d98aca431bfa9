//! Files back into messages: which one is read next, how far, and what becomes of it.
//!
//! One file is read at a time. Its messages are numbered and offered to the worker; as verdicts come
//! back its [`Ledger`](super::ledger::Ledger) advances, and so does its progress file. The room for
//! messages on their way is counted from what the progress file says, so a crash repeats no more than
//! that.

mod reading;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::backlog::Backlog;
use super::instance::Instance;
use super::ledger::Halted;
use super::lines::Lines;
use super::meter::Meter;
use super::replayer::{Offer, Offers, Permission, ReplayerParts, Verdicts};
use super::segment::SegmentId;
use crate::message::{TopicId, Topics};
use crate::options::ReplayConfig;
use crate::statistics::{ReplayGauges, ReplayState, Statistics};

/// How often other processes' files are looked for.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Progress is written down when so much has been settled since, or after [`SAVE_INTERVAL`].
const SAVE_SHARE: u64 = 8;
const SAVE_INTERVAL: Duration = Duration::from_millis(20);
/// Nothing to do but to wait for a command.
const IDLE: Duration = Duration::from_secs(1);

pub struct Replay {
    config: ReplayConfig,
    instance: Arc<Instance>,
    topics: Arc<Topics>,
    statistics: Arc<Statistics>,
    share: u64,
    single_topic: bool,
    backlog: Backlog,
    permission: Permission,
    /// With [`Permission::One`]: the one was offered, or there is none.
    offered_one: bool,
    halted: Halted,
    resumed: Vec<TopicId>,
    pass: Option<Pass>,
    next_id: u64,
    last_scan: Instant,
    /// `maxMessagesPerSecond`: not before this.
    paced_until: Instant,
    meter: Meter,
    /// The file that the statistics tell of.
    shown: Option<SegmentId>,
}

/// One file being read, from the first unsettled message to the end.
struct Pass {
    segment: SegmentId,
    lines: Lines,
    /// Nothing more is read of it: its end was reached, or something came in between.
    ended: bool,
    /// Cost of what was settled since the progress was written down.
    unsaved: u64,
    last_save: Instant,
}

impl Replay {
    pub fn new(parts: ReplayerParts) -> Self {
        let backlog = Backlog::new(
            Arc::clone(&parts.instance),
            Arc::clone(&parts.topics),
            Arc::clone(&parts.statistics),
            parts.config.archive,
        );
        let now = Instant::now();
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
            pass: None,
            next_id: 0,
            last_scan: now,
            paced_until: now,
            meter: Meter::new(now),
            shown: None,
        }
    }

    /// At the start: what have earlier processes left?
    pub fn look_around(&mut self, offers: &Offers) {
        self.backlog.scan();
        self.gauge();
        if !self.backlog.segments().is_empty() {
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
        self.backlog.take_sealed();
        let wait = match self.pass.take() {
            Some(pass) => self.go_on(pass, offers),
            None => self.find_work(offers),
        };
        self.gauge();
        wait
    }

    fn go_on(&mut self, mut pass: Pass, offers: &Offers) -> Duration {
        let Some(segment) = self.backlog.segment(pass.segment) else {
            return Duration::ZERO;
        };
        let (on_its_way, idle) = (segment.ledger.cost(), segment.ledger.is_idle());
        if self.permission == Permission::Hold || !self.resumed.is_empty() {
            pass.ended = true;
        }
        if pass.ended && idle {
            self.end(pass);
            return Duration::ZERO;
        }
        let room = self.share.saturating_sub(on_its_way + pass.unsaved);
        if pass.unsaved > 0
            && (pass.unsaved > self.share / SAVE_SHARE
                || idle
                || pass.last_save.elapsed() >= SAVE_INTERVAL)
        {
            self.save(&mut pass);
        }
        let mut wait = if pass.unsaved > 0 {
            SAVE_INTERVAL
        } else {
            IDLE
        };
        if !pass.ended && (room > 0 || idle) {
            wait = wait.min(self.until_allowed());
            if wait.is_zero() {
                self.read(&mut pass, room, offers);
            }
        }
        self.pass = Some(pass);
        wait
    }

    fn find_work(&mut self, offers: &Offers) -> Duration {
        for topic in self.resumed.drain(..) {
            self.halted.remove(&topic);
        }
        if self.permission == Permission::Flow && self.last_scan.elapsed() >= SCAN_INTERVAL {
            self.last_scan = Instant::now();
            self.backlog.scan();
        }
        let due = self.backlog.oldest_due(&self.halted);
        let due = due.map(|segment| (segment.id(), segment.ledger.is_complete(segment.length)));
        match due {
            Some((id, true)) => {
                self.backlog.remove(id);
                Duration::ZERO
            }
            Some((id, false)) => {
                let wait = self.until_allowed();
                if wait.is_zero() {
                    self.begin(id);
                }
                wait
            }
            None => {
                if self.permission == Permission::One && !self.offered_one {
                    self.offered_one = true;
                    offers(Offer::Nothing);
                }
                IDLE
            }
        }
    }

    /// Until messages may be offered.
    fn until_allowed(&self) -> Duration {
        match self.permission {
            Permission::Hold => IDLE,
            Permission::One if self.offered_one => IDLE,
            Permission::One => Duration::ZERO,
            Permission::Flow => self.paced_until.saturating_duration_since(Instant::now()),
        }
    }

    fn begin(&mut self, id: SegmentId) {
        let Some(segment) = self.backlog.segment(id) else {
            return;
        };
        segment.blocked_until = None;
        segment.ledger.begin_pass(self.next_id, &self.halted);
        match segment.lines(segment.ledger.position()) {
            Ok(lines) => {
                debug!(path = %segment.path.display(), "replaying a fallback file");
                self.pass = Some(Pass {
                    segment: id,
                    lines,
                    ended: false,
                    unsaved: 0,
                    last_save: Instant::now(),
                });
            }
            Err(error) => {
                segment.ledger.end_pass(&self.halted);
                self.backlog.failed(id, "cannot be opened", &error);
            }
        }
    }

    /// What became of messages that were offered.
    pub fn hear(&mut self, verdicts: Verdicts) {
        let Some(mut pass) = self.pass.take() else {
            return;
        };
        for (id, why) in verdicts.rejected {
            self.refused(&pass, id, &why);
        }
        if let Some(segment) = self.backlog.segment(pass.segment) {
            let before = segment.ledger.cost();
            let mut delivered = 0;
            for id in &verdicts.delivered {
                delivered += u64::from(segment.ledger.settled(*id, &self.halted));
            }
            for id in &verdicts.returned {
                segment.ledger.came_back(*id, &mut self.halted);
            }
            pass.unsaved += before - segment.ledger.cost();
            segment.messages = segment.messages.saturating_sub(delivered);
            self.statistics.replayed(delivered);
        }
        self.pass = Some(pass);
    }

    fn save(&mut self, pass: &mut Pass) {
        pass.unsaved = 0;
        pass.last_save = Instant::now();
        let Some(segment) = self.backlog.segment(pass.segment) else {
            return;
        };
        let saved = segment.sync_rejects().and_then(|()| {
            segment.save_progress(&self.halted, &self.topics, self.instance.modes())
        });
        let was_stale = std::mem::replace(&mut segment.is_progress_stale, saved.is_err());
        if let Err(error) = saved {
            // Should the process die now, more is published twice; nothing is lost.
            if !was_stale {
                warn!(path = %segment.path.display(), %error, "the progress of a replay cannot be written down");
            }
            self.statistics
                .file_error(format!("cannot write progress: {error}"));
        }
    }

    fn end(&mut self, mut pass: Pass) {
        let Some(segment) = self.backlog.segment(pass.segment) else {
            return;
        };
        segment.ledger.end_pass(&self.halted);
        if segment.ledger.is_complete(segment.length) {
            info!(path = %segment.path.display(), "fallback file replayed");
            self.backlog.remove(pass.segment);
        } else {
            self.save(&mut pass);
        }
    }

    pub fn close(mut self) {
        if let Some(mut pass) = self.pass.take() {
            self.save(&mut pass);
        }
        self.permission = Permission::Hold;
        self.gauge();
    }

    fn gauge(&mut self) {
        let segments = self.backlog.segments();
        let file = self
            .pass
            .as_ref()
            .and_then(|pass| segments.iter().find(|segment| segment.id() == pass.segment))
            .and_then(|segment| segment.path.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        // Between two files it goes on.
        let is_busy = self.pass.is_some() || self.backlog.oldest_due(&self.halted).is_some();
        let state = if segments.is_empty() {
            ReplayState::Idle
        } else if is_busy && self.permission != Permission::Hold {
            ReplayState::Replaying
        } else {
            ReplayState::Waiting
        };
        let segment = self.pass.as_ref().map(|pass| pass.segment);
        if !self.meter.is_due(state) && segment == self.shown {
            return;
        }
        self.shown = segment;
        let bytes = segments.iter().map(|segment| segment.bytes_left()).sum();
        self.statistics.set_replay(ReplayGauges {
            state,
            bytes,
            messages: segments.iter().map(|segment| segment.messages).sum(),
            oldest: segments.iter().map(|segment| segment.oldest).min(),
            file,
            bytes_per_second: self.meter.rate(bytes, state),
        });
    }
}
