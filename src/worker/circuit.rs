//! A circuit breaker for each topic in trouble: its messages go to file, other topics flow on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::message::TopicId;
use crate::options::RetryPolicy;

/// Trouble that comes back within this time is the same trouble.
const RELAPSE: Duration = Duration::from_secs(60);

/// Where a topic's next message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Kafka,
    /// To Kafka, as the one message that tells whether the trouble is over.
    Trial,
    File,
}

enum Circuit {
    /// To file, until it is time for a trial.
    Open { until: Instant },
    /// One message is on its way; the others go to file.
    Trial { sequence: u64 },
    /// The trouble is over, since then. If it comes back soon, the wait goes on growing.
    Closed { since: Instant },
}

struct Trouble {
    circuit: Circuit,
    attempt: u32,
}

/// Topics in trouble. A topic that is not in here is well.
pub struct Circuits {
    troubles: HashMap<TopicId, Trouble>,
    policy: RetryPolicy,
}

impl Circuits {
    pub fn new(policy: RetryPolicy) -> Self {
        Circuits {
            troubles: HashMap::new(),
            policy,
        }
    }

    pub fn way(&self, topic: TopicId, now: Instant) -> Way {
        if self.troubles.is_empty() {
            return Way::Kafka;
        }
        match self.troubles.get(&topic).map(|trouble| &trouble.circuit) {
            None | Some(Circuit::Closed { .. }) => Way::Kafka,
            Some(Circuit::Open { until }) if *until <= now => Way::Trial,
            Some(_) => Way::File,
        }
    }

    /// Whether any topic's messages go to file.
    pub fn is_any_open(&self) -> bool {
        self.troubles
            .values()
            .any(|trouble| !matches!(trouble.circuit, Circuit::Closed { .. }))
    }

    /// The message of this number is the topic's trial.
    pub fn begin_trial(&mut self, topic: TopicId, sequence: u64) {
        if let Some(trouble) = self.troubles.get_mut(&topic) {
            trouble.circuit = Circuit::Trial { sequence };
        }
    }

    /// The topic's messages are refused or not answered. Returns whether that is news.
    pub fn trip(&mut self, topic: TopicId, now: Instant) -> bool {
        let closed = Circuit::Closed { since: now };
        let trouble = self.troubles.entry(topic).or_insert(Trouble {
            circuit: closed,
            attempt: 0,
        });
        let is_news = match trouble.circuit {
            Circuit::Closed { since } => {
                if now.duration_since(since) > RELAPSE {
                    trouble.attempt = 0;
                }
                true
            }
            Circuit::Trial { .. } => false,
            Circuit::Open { until } if until <= now => false,
            // Further reports of messages that were on their way already are no further attempt.
            Circuit::Open { .. } => return false,
        };
        trouble.circuit = Circuit::Open {
            until: now + self.policy.delay(trouble.attempt),
        };
        trouble.attempt += 1;
        is_news
    }

    /// Kafka has answered about this message, whatever it said. Returns the topic whose trial it was.
    pub fn answered(&mut self, sequence: u64, now: Instant) -> Option<TopicId> {
        let (topic, trouble) = self.trial(sequence)?;
        trouble.circuit = Circuit::Closed { since: now };
        Some(topic)
    }

    /// A message was sent again under another number.
    pub fn resent(&mut self, was: u64, sequence: u64) {
        if let Some((_, trouble)) = self.trial(was) {
            trouble.circuit = Circuit::Trial { sequence };
        }
    }

    /// Whether any topic's trial is on its way.
    pub fn has_trials(&self) -> bool {
        let mut troubles = self.troubles.values();
        troubles.any(|trouble| matches!(trouble.circuit, Circuit::Trial { .. }))
    }

    fn trial(&mut self, sequence: u64) -> Option<(TopicId, &mut Trouble)> {
        self.troubles
            .iter_mut()
            .find_map(|(topic, trouble)| match trouble.circuit {
                Circuit::Trial { sequence: trial } if trial == sequence => Some((*topic, trouble)),
                _ => None,
            })
    }

    /// Whether the topic is known to be in trouble, and no trial is on its way.
    pub fn is_open(&self, topic: TopicId) -> bool {
        let trouble = self.troubles.get(&topic);
        trouble.is_some_and(|trouble| matches!(trouble.circuit, Circuit::Open { .. }))
    }

    /// This message has to be sent again: if it was a trial, it has told nothing.
    pub fn abandon_trial(&mut self, sequence: u64, now: Instant) {
        if let Some((_, trouble)) = self.trial(sequence) {
            trouble.circuit = Circuit::Open { until: now };
        }
    }

    /// Messages on their way were taken back: trials among them have told nothing.
    pub fn abandon_trials(&mut self, now: Instant) {
        for trouble in self.troubles.values_mut() {
            if matches!(trouble.circuit, Circuit::Trial { .. }) {
                trouble.circuit = Circuit::Open { until: now };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TopicId = TopicId(0);
    const B: TopicId = TopicId(1);

    fn circuits() -> Circuits {
        Circuits::new(RetryPolicy {
            retries: None,
            factor: 2.0,
            min: Duration::from_secs(1),
            max: Duration::from_secs(10),
            randomize: false,
        })
    }

    #[test]
    fn one_topics_trouble_is_its_own() {
        let (now, mut circuits) = (Instant::now(), circuits());
        assert!(circuits.trip(A, now));
        assert!(!circuits.trip(A, now));
        assert_eq!(
            (circuits.way(A, now), circuits.way(B, now)),
            (Way::File, Way::Kafka)
        );
    }

    #[test]
    fn a_trial_that_has_told_nothing_is_followed_by_another() {
        let (now, mut circuits) = (Instant::now(), circuits());
        circuits.trip(A, now);
        let later = now + Duration::from_secs(1);
        circuits.begin_trial(A, 7);
        circuits.abandon_trial(7, later);
        assert!(circuits.is_open(A) && !circuits.is_open(B));
        assert_eq!(circuits.way(A, later), Way::Trial);
    }

    #[test]
    fn one_message_tries_and_the_wait_grows() {
        let (now, mut circuits) = (Instant::now(), circuits());
        circuits.trip(A, now);
        let later = now + Duration::from_secs(1);
        assert_eq!(circuits.way(A, later), Way::Trial);
        circuits.begin_trial(A, 7);
        assert_eq!(circuits.way(A, later), Way::File);
        assert_eq!(circuits.answered(6, later), None);

        assert!(!circuits.trip(A, later));
        assert_eq!(
            circuits.way(A, later + Duration::from_millis(1999)),
            Way::File
        );
        assert_eq!(circuits.way(A, later + Duration::from_secs(2)), Way::Trial);
        circuits.begin_trial(A, 9);
        circuits.resent(9, 11);
        circuits.abandon_trial(9, later);
        assert!(!circuits.is_open(A));
        assert_eq!(circuits.answered(9, later), None);
        let closed = later + Duration::from_secs(3);
        assert_eq!(circuits.answered(11, closed), Some(A));
        assert_eq!(circuits.way(A, closed), Way::Kafka);

        // The same trouble, back again: the wait goes on growing.
        assert!(circuits.trip(A, closed));
        assert_eq!(
            circuits.way(A, closed + Duration::from_millis(3999)),
            Way::File
        );
        // Much later, it is another one.
        let later = closed + Duration::from_secs(4);
        circuits.begin_trial(A, 12);
        assert_eq!(circuits.answered(12, later), Some(A));
        let much_later = later + RELAPSE + Duration::from_secs(1);
        assert!(circuits.trip(A, much_later));
        assert_eq!(
            circuits.way(A, much_later + Duration::from_secs(1)),
            Way::Trial
        );
        // A topic of which not even a trial can be made waits longer, too.
        assert!(!circuits.trip(A, much_later + Duration::from_secs(1)));
        assert_eq!(
            circuits.way(A, much_later + Duration::from_millis(2999)),
            Way::File
        );
    }
}
