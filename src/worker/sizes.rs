//! The sizes that topics have refused: such messages go alone at once, and do not disturb the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::message::TopicId;

/// How long a size that a topic has refused is remembered: its limit may be raised.
const MEMORY: Duration = Duration::from_secs(60);

pub(super) struct RefusedSizes {
    /// With compression, size alone does not decide: none is remembered.
    compresses: bool,
    /// The least by topic, and when it was refused.
    least: HashMap<TopicId, (u64, Instant)>,
}

impl RefusedSizes {
    pub(super) fn new(compresses: bool) -> Self {
        RefusedSizes {
            compresses,
            least: HashMap::new(),
        }
    }

    pub(super) fn remember(&mut self, topic: TopicId, size: u64, now: Instant) {
        if self.compresses {
            return;
        }
        let (least, since) = self.least.entry(topic).or_insert((size, now));
        *least = size.min(*least);
        *since = now;
    }

    /// Whether a message of this size was refused by this topic lately.
    pub(super) fn was_refused(&self, topic: TopicId, size: u64, now: Instant) -> bool {
        !self.least.is_empty()
            && self
                .least
                .get(&topic)
                .is_some_and(|(least, since)| size >= *least && now - *since < MEMORY)
    }

    /// Forgets the other topics.
    pub(super) fn retain(&mut self, is_known: impl Fn(TopicId) -> bool) {
        self.least.retain(|topic, _| is_known(*topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_size_counts_until_it_is_forgotten() {
        let (mut sizes, now) = (RefusedSizes::new(false), Instant::now());
        let topic = TopicId(1);
        assert!(!sizes.was_refused(topic, u64::MAX, now));
        sizes.remember(topic, 200, now);
        sizes.remember(topic, 300, now);
        assert!(sizes.was_refused(topic, 200, now));
        assert!(!sizes.was_refused(topic, 199, now));
        assert!(!sizes.was_refused(TopicId(2), 200, now));
        assert!(!sizes.was_refused(topic, 200, now + MEMORY));

        let mut compressed = RefusedSizes::new(true);
        compressed.remember(topic, 200, now);
        assert!(!compressed.was_refused(topic, 200, now));
    }
}
