//! What follows from what became of a message: one table, for live messages and for those from files.

use crate::kafka::{Origin, Outcome};
use crate::message::{Reason, now_ms};

/// A message that was not delivered, as far as it matters for what follows.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub outcome: Outcome,
    pub origin: Origin,
    /// It was no part of a batch: what was said of it is about itself.
    pub alone: bool,
    /// The time that it was sent with is so long ago that it may be at fault, and not a clock.
    pub is_old: bool,
    /// Kafka has answered something lately: what is silent is one partition.
    pub answered_lately: bool,
    /// How often the same message was refused alone, and not said why, this time included.
    pub tries: u32,
}

/// How much a trouble is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Partition,
    Topic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A live message that will never be taken.
    Discard(Reason),
    /// The same from a file: it goes to the file of rejected lines.
    Reject,
    /// Whose fault it was shows when each of its batch goes alone.
    Alone,
    /// The batch was too large: smaller ones, and each of this one alone where they can't be smaller.
    Smaller,
    /// From a file: once more, with the time of now.
    Retime,
    /// To its file, or it stays there; nobody is blamed.
    File,
    /// The same, and no more of its partition or topic are sent until a trial succeeds.
    Trouble(Extent),
    /// To file, unless the whole cluster is silent: that is found out first.
    Inquire,
    /// The producer is replaced, and its messages with it.
    Rebuild,
}

/// An unexplained refusal is believed after so many tries, each after a longer wait.
pub const TRIES: u32 = 5;

/// A message that has waited for so long, in milliseconds, may be too old for its topic.
const OLD_MS: i64 = 1000;

/// Whether the time that a message is sent with, in milliseconds since the Unix epoch, makes it old.
pub fn is_old(timestamp: i64) -> bool {
    now_ms() - timestamp >= OLD_MS
}

pub fn decide(case: Case) -> Verdict {
    let from_file = case.origin == Origin::File;
    let never = |reason| {
        if from_file {
            Verdict::Reject
        } else {
            Verdict::Discard(reason)
        }
    };
    match case.outcome {
        Outcome::TooLarge if !case.alone => Verdict::Smaller,
        Outcome::Refused | Outcome::Neighbour | Outcome::Unexplained if !case.alone => {
            Verdict::Alone
        }
        Outcome::TooLarge => never(Reason::TooLarge),
        Outcome::Refused | Outcome::Neighbour => never(Reason::Refused),
        Outcome::Unexplained if from_file && case.tries >= TRIES => Verdict::Reject,
        Outcome::Unexplained | Outcome::Partition => Verdict::Trouble(Extent::Partition),
        Outcome::Time if from_file && case.is_old => Verdict::Retime,
        Outcome::Time if !from_file && case.is_old => Verdict::File,
        Outcome::Time | Outcome::Topic => Verdict::Trouble(Extent::Topic),
        Outcome::Silence if case.answered_lately => Verdict::Trouble(Extent::Partition),
        Outcome::Silence => Verdict::Inquire,
        Outcome::Purged => Verdict::File,
        // What else the producer of the replay had is still in its files.
        Outcome::Fatal if from_file => Verdict::File,
        Outcome::Fatal => Verdict::Rebuild,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Alone, Discard, File, Inquire, Rebuild, Reject, Retime, Smaller, Trouble};

    const CASE: Case = Case {
        outcome: Outcome::Purged,
        origin: Origin::Live,
        alone: false,
        is_old: false,
        answered_lately: false,
        tries: 1,
    };
    const PARTITION: Verdict = Trouble(Extent::Partition);
    const TOPIC: Verdict = Trouble(Extent::Topic);

    /// For each outcome: live in a batch, live alone, from a file in a batch, from a file alone.
    #[test]
    fn each_outcome_has_its_verdict() {
        let (refused, large) = (Discard(Reason::Refused), Discard(Reason::TooLarge));
        let table = [
            (Outcome::Refused, [Alone, refused, Alone, Reject]),
            (Outcome::Neighbour, [Alone, refused, Alone, Reject]),
            (Outcome::TooLarge, [Smaller, large, Smaller, Reject]),
            (Outcome::Unexplained, [Alone, PARTITION, Alone, PARTITION]),
            (Outcome::Time, [TOPIC; 4]),
            (Outcome::Topic, [TOPIC; 4]),
            (Outcome::Partition, [PARTITION; 4]),
            (Outcome::Silence, [Inquire; 4]),
            (Outcome::Purged, [File; 4]),
            (Outcome::Fatal, [Rebuild, Rebuild, File, File]),
        ];
        for (outcome, verdicts) in table {
            let cases = [
                (Origin::Live, false),
                (Origin::Live, true),
                (Origin::File, false),
                (Origin::File, true),
            ];
            for ((origin, alone), verdict) in cases.into_iter().zip(verdicts) {
                let case = Case {
                    outcome,
                    origin,
                    alone,
                    ..CASE
                };
                assert_eq!(decide(case), verdict, "{case:?}");
            }
        }
    }

    #[test]
    fn an_old_messages_time_is_not_its_topics_trouble() {
        let sent_with = |origin, is_old| {
            decide(Case {
                outcome: Outcome::Time,
                origin,
                is_old,
                ..CASE
            })
        };
        assert_eq!(sent_with(Origin::Live, true), File);
        assert_eq!(sent_with(Origin::File, true), Retime);
        // Not even the time of now is taken: a clock is wrong.
        assert_eq!(sent_with(Origin::File, false), TOPIC);
    }

    #[test]
    fn silence_is_a_partitions_where_kafka_answers() {
        for origin in [Origin::Live, Origin::File] {
            let case = Case {
                outcome: Outcome::Silence,
                origin,
                answered_lately: true,
                ..CASE
            };
            assert_eq!(decide(case), PARTITION);
        }
    }

    #[test]
    fn a_poison_line_is_not_replayed_for_ever() {
        let tried = |origin, tries| {
            decide(Case {
                outcome: Outcome::Unexplained,
                origin,
                alone: true,
                tries,
                ..CASE
            })
        };
        assert_eq!(tried(Origin::File, TRIES - 1), PARTITION);
        assert_eq!(tried(Origin::File, TRIES), Reject);
        assert_eq!(tried(Origin::Live, TRIES), PARTITION);
    }
}
