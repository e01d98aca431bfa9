//! Topics that nobody has messages for any more are forgotten when there are many: a caller may make
//! up their names.

use super::Worker;
use crate::message::TopicId;

/// So many topics are remembered, here and by librdkafka, whether they are used or not.
const MANY: usize = 2000;

#[derive(Default)]
pub(super) struct Forgetting {
    /// How many topics there were left when some were last forgotten.
    kept: usize,
}

impl Worker {
    /// Done while nothing is in memory, so that no message loses its topic.
    pub(super) fn forget_topics(&mut self) {
        let topics = &self.shared.topics;
        // Names that have to be kept are not looked through again and again.
        let many = MANY.max(2 * self.forgetting.kept);
        if topics.count() <= many || !self.held_back.is_empty() || self.phase.is_taking() {
            return;
        }
        let troubles = &self.troubles;
        // A trouble is forgotten with its topic only when there are too many of those, too.
        let keeps_ill = troubles.ill_topics() <= MANY;
        let forgotten = self.shared.inbox.while_empty(|| {
            topics.forget_queued(|id| keeps_ill && troubles.is_topic_ill(id));
        });
        if !forgotten {
            return;
        }
        self.forgetting.kept = topics.count();
        let is_known = |id: TopicId| topics.is_known(id);
        self.flight.retain();
        self.troubles.retain(is_known);
        self.sizes.retain(is_known);
        self.cluster.retain(is_known);
        if let Some(partitioning) = &mut self.partitioning {
            partitioning.retain(is_known);
        }
        self.producers.close_those_with_many_topics(MANY);
    }
}
