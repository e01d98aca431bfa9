//! The progress of files that are being read, and the end of their reading.

use std::time::Duration;

use tracing::warn;

use super::{IDLE, Replay, SAVE_INTERVAL, SAVE_SHARE, SYNC_INTERVAL};
use crate::fallback::clock::now;
use crate::fallback::names::SegmentId;
use crate::options::Fsync;

impl Replay {
    /// Counts what was settled since the last look, and ends what is through.
    pub(super) fn end_passes(&mut self) {
        let mut through = Vec::new();
        let backlog = &mut self.backlog;
        self.passes.retain(|id, pass| {
            let Some(segment) = backlog.segments.get_mut(id) else {
                return false;
            };
            pass.unsaved += segment.ledger.take_settled();
            if pass.ended && segment.ledger.is_idle() {
                through.push((*id, pass.unsaved));
                return false;
            }
            true
        });
        if let Some((id, _)) = &self.reading
            && !self.passes.contains_key(id)
        {
            self.reading = None;
        }
        for (id, unsaved) in through {
            self.end(id, unsaved);
        }
    }

    fn end(&mut self, id: SegmentId, unsaved: u64) {
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return;
        };
        segment.ledger.end_pass(&self.halted);
        if segment.ledger.is_complete(segment.length) {
            self.backlog.finish(id);
            return;
        }
        let is_pinned = segment.ledger.is_pinned(segment.length);
        self.backlog.look_again();
        if unsaved > 0 || is_pinned {
            self.save(id, self.config.fsync != Fsync::Never);
        }
        self.make_room_for_others(id);
    }

    /// Writes down the progress that is due. Returns until when the rest can wait.
    pub(super) fn save_due(&mut self) -> Duration {
        let (mut due, mut wait) = (Vec::new(), IDLE);
        for (id, pass) in &mut self.passes {
            if pass.unsaved == 0 {
                continue;
            }
            let is_due = pass.unsaved > self.share / SAVE_SHARE
                || now().duration_since(pass.last_save) >= SAVE_INTERVAL;
            if !is_due {
                wait = wait.min(SAVE_INTERVAL);
                continue;
            }
            let is_synced = match self.config.fsync {
                Fsync::Never => false,
                Fsync::Always => true,
                Fsync::Interval => now().duration_since(pass.last_sync) >= SYNC_INTERVAL,
            };
            pass.unsaved = 0;
            pass.last_save = now();
            if is_synced {
                pass.last_sync = pass.last_save;
            }
            due.push((*id, is_synced));
        }
        for (id, is_synced) in due {
            self.save(id, is_synced);
        }
        wait
    }

    pub(super) fn save(&mut self, id: SegmentId, is_synced: bool) {
        let Some(segment) = self.backlog.segments.get_mut(&id) else {
            return;
        };
        let (halted, topics, modes) = (&self.halted, &self.topics, self.instance.modes());
        let saved = self.instance.open_directory().and_then(|directory| {
            segment.sync_rejects(&directory)?;
            segment.save_progress(&directory, halted, topics, modes, is_synced)
        });
        let was_stale = std::mem::replace(&mut segment.is_progress_stale, saved.is_err());
        let Err(error) = saved else {
            return;
        };
        if error.kind() == std::io::ErrorKind::NotFound {
            return self.backlog.failed(id, "cannot be found", &error);
        }
        // Should the process die now, more is published twice; nothing is lost.
        if !was_stale {
            let path = self.instance.path().join(&segment.name);
            warn!(path = %path.display(), %error, "the progress of a replay cannot be written down");
        }
        self.statistics
            .file_error(format!("cannot write progress: {error}"));
    }
}
