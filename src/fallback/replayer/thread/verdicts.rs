//! What became of messages that were offered.

use std::collections::HashMap;

use super::{Pass, Replay};
use crate::fallback::names::SegmentId;
use crate::fallback::replayer::protocol::Verdicts;

impl Replay {
    /// What became of messages that were offered.
    pub fn hear(&mut self, verdicts: Verdicts) {
        for (id, why) in verdicts.rejected {
            if let Some((segment, local)) = self.answered(id) {
                self.refused(segment, local, &why);
            }
        }
        let mut delivered: HashMap<SegmentId, u64> = HashMap::new();
        for id in verdicts.delivered {
            if let Some((id, local)) = self.answered(id)
                && let Some(segment) = self.backlog.segments.get_mut(&id)
                && segment.ledger.settled(local, &self.halted)
            {
                *delivered.entry(id).or_default() += 1;
            }
        }
        for (id, messages) in delivered {
            if let Some(segment) = self.backlog.segments.get_mut(&id) {
                segment.messages = segment.messages.saturating_sub(messages);
            }
            self.statistics.replayed(messages);
        }
        for id in verdicts.returned {
            if let Some((segment, local)) = self.answered(id) {
                self.came_back(segment, local);
            }
        }
    }

    /// Whose message this is, and its number there. Each is asked for once.
    fn answered(&mut self, id: u64) -> Option<(SegmentId, u64)> {
        let at = self.runs.partition_point(|run| run.first + run.count <= id);
        let run = self.runs.get_mut(at).filter(|run| run.first <= id)?;
        run.left = run.left.saturating_sub(1);
        let found = (run.segment, run.local + (id - run.first));
        let serial = run.pass;
        while self.runs.front().is_some_and(|run| run.left == 0) {
            self.runs.pop_front();
        }
        // Unless its file was lost meanwhile.
        let is_current = |pass: &Pass| pass.serial == serial;
        self.passes
            .get(&found.0)
            .is_some_and(is_current)
            .then_some(found)
    }

    pub(in crate::fallback::replayer) fn came_back(&mut self, id: SegmentId, local: u64) {
        let topic = self
            .backlog
            .segment(id)
            .and_then(|segment| segment.ledger.topic_of(local));
        if let Some(topic) = topic
            && self.halted.insert(topic)
        {
            for id in self.passes.keys() {
                if let Some(segment) = self.backlog.segments.get_mut(id) {
                    segment.ledger.halt(topic);
                }
            }
        }
        if let Some(segment) = self.backlog.segments.get_mut(&id) {
            segment.ledger.came_back(local, &self.halted);
        }
    }
}
