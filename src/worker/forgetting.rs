//! Topics that nobody has messages for any more are forgotten when there are many: a caller may make
//! up their names. Names that messages in memory have stay; so does what is needed of a trouble.

use std::collections::HashSet;
use std::time::Instant;

use tracing::debug;

use super::Worker;
use crate::message::{MANY_TOPICS, TopicId};

pub(super) struct Forgetting {
    /// So many topics are remembered, used or not.
    many: usize,
    /// How many names had to be kept when some were last forgotten: those are not looked through again
    /// and again.
    kept: usize,
}

impl Default for Forgetting {
    fn default() -> Self {
        Forgetting {
            many: MANY_TOPICS,
            kept: 0,
        }
    }
}

impl Worker {
    pub(super) fn forget_topics(&mut self) {
        self.forget_names();
        self.forget_handles();
    }

    fn forget_names(&mut self) {
        let topics = &self.shared.topics;
        if topics.count() <= self.forgetting.many.max(2 * self.forgetting.kept) {
            return;
        }
        // Messages are in none of these places, or their topics are known.
        let is_elsewhere = self.phase.is_taking()
            || self.is_partitioning()
            || !self.flight.alone.is_empty()
            || !self.shared.statistics.is_all_written();
        if is_elsewhere {
            return;
        }
        self.forgetting.many = topics.many(self.forgetting.many);
        if topics.count() <= self.forgetting.many {
            return;
        }
        let mut needed: HashSet<TopicId> = self.flight.topics(usize::MAX).into_iter().collect();
        needed.extend(self.handed_back.topics());
        needed.extend(self.held_back.iter().flat_map(|held| held.batch.topics()));
        let troubles = &self.troubles;
        // A trouble is forgotten with its topic only when there are too many of those, too.
        let keeps_ill = troubles.ill_topics() <= MANY_TOPICS;
        let forgotten = self.shared.inbox.with_topics(|queued| {
            topics.forget_queued(|id| {
                needed.contains(&id)
                    || queued.contains(&id)
                    || (keeps_ill && troubles.is_topic_ill(id))
            })
        });
        self.forgetting.kept = topics.count();
        debug!(
            forgotten,
            kept = self.forgetting.kept,
            "topics without messages are forgotten"
        );
        let is_known = |id: TopicId| topics.is_known(id);
        self.flight.retain();
        self.troubles.retain(is_known);
        self.sizes.retain(is_known);
        self.cluster.retain(is_known);
        self.replay.retain(is_known);
        self.spreading.retain(is_known);
        if let Some(partitioning) = &mut self.partitioning {
            partitioning.retain(is_known);
        }
    }

    /// Librdkafka's own memory of topics is for the life of a client.
    fn forget_handles(&mut self) {
        // Those that are needed are known to the next client, too.
        let many = self.forgetting.many.max(2 * self.forgetting.kept);
        if self.producers.main_topic_count() > many {
            self.phase.begin_renewing(Instant::now());
        }
        if self.producers.replay_topic_count() > many {
            self.replay.renew();
        }
        let is_alone_idle = self.flight.alone.is_empty() && self.replay.has_landed();
        if self.producers.alone_topic_count() > many && is_alone_idle {
            self.producers.close_alone();
        }
    }
}
