//! A circuit breaker for each topic in trouble: its messages go to file, other topics flow on.

use std::collections::HashMap;
use std::time::Instant;

use crate::message::TopicId;
use crate::options::RetryPolicy;

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
            None => Way::Kafka,
            Some(Circuit::Open { until }) if *until <= now => Way::Trial,
            Some(_) => Way::File,
        }
    }

    /// The message of this number is the topic's trial.
    pub fn begin_trial(&mut self, topic: TopicId, sequence: u64) {
        if let Some(trouble) = self.troubles.get_mut(&topic) {
            trouble.circuit = Circuit::Trial { sequence };
        }
    }

    /// The topic's messages are refused or not answered. Returns whether that is news.
    pub fn trip(&mut self, topic: TopicId, now: Instant) -> bool {
        let is_new = !self.troubles.contains_key(&topic);
        let policy = self.policy;
        let trouble = self.troubles.entry(topic).or_insert(Trouble {
            circuit: Circuit::Open { until: now },
            attempt: 0,
        });
        // Further reports of messages that were on their way already are no further attempt.
        if is_new || matches!(trouble.circuit, Circuit::Trial { .. }) {
            trouble.circuit = Circuit::Open {
                until: now + policy.delay(trouble.attempt),
            };
            trouble.attempt += 1;
        }
        is_new
    }

    /// A message was delivered. Returns the topic whose trial it was.
    pub fn delivered(&mut self, sequence: u64) -> Option<TopicId> {
        if self.troubles.is_empty() {
            return None;
        }
        let found = self.troubles.iter().find_map(|(topic, trouble)| {
            matches!(trouble.circuit, Circuit::Trial { sequence: trial } if trial == sequence)
                .then_some(*topic)
        });
        if let Some(topic) = found {
            self.troubles.remove(&topic);
        }
        found
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
    use std::time::Duration;

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
    fn one_message_tries_and_the_wait_grows() {
        let (now, mut circuits) = (Instant::now(), circuits());
        circuits.trip(A, now);
        let later = now + Duration::from_secs(1);
        assert_eq!(circuits.way(A, later), Way::Trial);
        circuits.begin_trial(A, 7);
        assert_eq!(circuits.way(A, later), Way::File);
        assert_eq!(circuits.delivered(6), None);

        assert!(!circuits.trip(A, later));
        assert_eq!(
            circuits.way(A, later + Duration::from_millis(1999)),
            Way::File
        );
        assert_eq!(circuits.way(A, later + Duration::from_secs(2)), Way::Trial);
        circuits.begin_trial(A, 9);
        assert_eq!(circuits.delivered(9), Some(A));
        assert_eq!(circuits.way(A, later), Way::Kafka);
    }
}
