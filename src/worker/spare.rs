//! Clients for one use, and their beginning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::kafka::{Client, Fleet};
use crate::message::TopicId;

/// When a new idempotent client is made to ask for metadata. With an answer it asks for its producer id,
/// if a broker is connected; with its own first question none is yet, and it waits for half a second.
const QUESTIONS: [Duration; 4] = [
    Duration::from_millis(15),
    Duration::from_millis(40),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// Clients that are made when they are needed.
#[derive(Default)]
pub(super) struct Spare {
    pub(super) fleet: Option<Fleet>,
    pub(super) last_used: Option<Instant>,
    /// Since when they have had nothing acknowledged.
    pub(super) new_since: Option<Instant>,
    /// How many [`QUESTIONS`] were asked.
    asked: usize,
}

impl Spare {
    pub(super) fn of(fleet: Fleet) -> Self {
        Spare {
            fleet: Some(fleet),
            new_since: Some(Instant::now()),
            ..Spare::default()
        }
    }

    pub(super) fn topic_count(&self) -> usize {
        self.fleet.as_ref().map_or(0, Fleet::topic_count)
    }

    /// Topics to ask for, if it is time to ask.
    pub(super) fn questions(&mut self, now: Instant) -> Vec<(Arc<Client>, TopicId)> {
        let is_due = |next: &Duration| self.new_since.is_some_and(|since| now - since >= *next);
        if !QUESTIONS.get(self.asked).is_some_and(is_due) {
            return Vec::new();
        }
        let topics: Vec<_> = self.fleet.iter().flat_map(Fleet::topics).collect();
        if !topics.is_empty() {
            self.asked += 1;
        }
        topics
    }

    /// Whether it may have to ask soon.
    pub(super) fn is_beginning(&self) -> bool {
        self.new_since.is_some() && self.asked < QUESTIONS.len() && self.topic_count() > 0
    }
}

/// Destroying a client waits for its threads: not the worker's work.
pub(super) fn close(spare: &mut Spare) {
    let closed = std::mem::take(spare);
    if let Some(fleet) = closed.fleet {
        debug!("a Kafka client is closed");
        tokio::task::spawn_blocking(move || drop(fleet));
    }
}
