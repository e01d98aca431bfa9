use super::*;
use crate::message::Traits;
use crate::options::{Config, Value};

const A: Target = Target {
    topic: TopicId(0),
    partition: ANY_PARTITION,
};
const B: Target = Target {
    topic: TopicId(1),
    partition: ANY_PARTITION,
};
const PATIENCE: Duration = Duration::from_secs(5);

fn troubles() -> Troubles {
    let policy = RetryPolicy {
        retries: None,
        factor: 2.0,
        min: Duration::from_secs(1),
        max: Duration::from_secs(10),
        randomize: false,
    };
    let options = Value::Object(vec![(
        "connectionString".into(),
        Value::String("localhost:9092".into()),
    )]);
    let config = Config::read(&options, &|_| None).unwrap();
    Troubles::new(policy, Partitioner::of(&config.kafka), PATIENCE)
}

fn record(target: Target) -> Record {
    Record {
        partition: target.partition,
        ..Record::of(target.topic, 0)
    }
}

/// The way of a message without a partition of its own.
fn way(troubles: &Troubles, target: Target, now: Instant) -> Way {
    troubles.way(&record(target), b"key", now)
}

const KAFKA: Way = Way::Kafka(ANY_PARTITION);

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn one_topics_trouble_is_its_own() {
    let (now, mut troubles) = (Instant::now(), troubles());
    assert!(troubles.trip(A, now));
    assert!(!troubles.trip(A, now));
    assert_eq!(
        (way(&troubles, A, now), way(&troubles, B, now)),
        (Way::File, KAFKA)
    );
}

#[test]
fn one_partitions_trouble_is_its_own() {
    let (now, mut troubles) = (Instant::now(), troubles());
    let ill = Target { partition: 1, ..A };
    let chosen = |troubles: &Troubles, key: &[u8]| troubles.way(&record(A), key, now);
    troubles.trip(ill, now);
    assert_eq!(troubles.unknown_topics(), [A.topic]);
    // As long as it is not known which partition a key has, none of the topic's is safe.
    assert_eq!(chosen(&troubles, b"key"), Way::File);
    troubles.has_partitions(A.topic, 3);
    let ways: Vec<Way> = (0..100_u8).map(|key| chosen(&troubles, &[key])).collect();
    for partition in [0, 2] {
        assert!(ways.contains(&Way::Kafka(partition)));
    }
    assert!(ways.contains(&Way::File));
    assert!(!ways.contains(&Way::Kafka(1)) && !ways.contains(&KAFKA));

    let keyless = Record {
        traits: Traits::KEYLESS,
        ..record(A)
    };
    assert!((0..100).all(|_| matches!(troubles.way(&keyless, b"", now), Way::Kafka(0 | 2))));
    // A partition that the user has chosen is kept.
    assert_eq!(way(&troubles, ill, now), Way::File);

    let later = at(now, 1000);
    assert_eq!(way(&troubles, ill, later), Way::Trial(ill));
    troubles.begin_trial(ill, Ticket::live(3), later);
    // What another partition says is nothing to this one.
    assert_eq!(troubles.answered(Ticket::live(4), later), None);
    assert_eq!(way(&troubles, ill, later), Way::File);
    assert_eq!(troubles.answered(Ticket::live(3), later), Some(ill));
    assert_eq!(way(&troubles, A, later), KAFKA);
    assert!(!troubles.is_any_open());
}

#[test]
fn a_trial_that_has_told_nothing_is_followed_by_another() {
    let (now, mut troubles) = (Instant::now(), troubles());
    troubles.trip(A, now);
    let later = at(now, 1000);
    troubles.begin_trial(A, Ticket::live(7), later);
    troubles.abandon_trial(Ticket::live(7), later);
    assert!(troubles.is_open(A) && !troubles.is_open(B));
    assert_eq!(way(&troubles, A, later), Way::Trial(A));
    // One that is never heard of again is followed by another, too.
    troubles.begin_trial(A, Ticket::live(8), later);
    assert_eq!(way(&troubles, A, later), Way::File);
    let overdue = later + PATIENCE;
    assert_eq!(way(&troubles, A, overdue), Way::Trial(A));
    troubles.begin_trial(A, Ticket::live(9), overdue);
    assert_eq!(troubles.answered(Ticket::live(8), overdue), None);
    assert_eq!(troubles.answered(Ticket::live(9), overdue), Some(A));
}

#[test]
fn a_file_and_the_inbox_may_have_messages_of_the_same_number() {
    let (now, mut troubles) = (Instant::now(), troubles());
    troubles.trip(A, now);
    troubles.begin_trial(A, Ticket::live(7), now);
    assert_eq!(troubles.answered(Ticket::file(7), now), None);
    assert_eq!(troubles.answered(Ticket::live(7), now), Some(A));
}

#[test]
fn one_message_tries_and_the_wait_grows() {
    let (now, mut troubles) = (Instant::now(), troubles());
    troubles.trip(A, now);
    let later = at(now, 1000);
    assert_eq!(way(&troubles, A, later), Way::Trial(A));
    troubles.begin_trial(A, Ticket::live(7), later);
    assert_eq!(way(&troubles, A, later), Way::File);

    assert!(!troubles.trip(A, later));
    assert_eq!(way(&troubles, A, at(later, 1999)), Way::File);
    assert_eq!(way(&troubles, A, at(later, 2000)), Way::Trial(A));
    let closed = at(later, 3000);
    troubles.begin_trial(A, Ticket::live(9), closed);
    assert_eq!(troubles.answered(Ticket::live(9), closed), Some(A));
    assert_eq!(way(&troubles, A, closed), KAFKA);

    // The same trouble, back again: the wait goes on growing.
    assert!(troubles.trip(A, closed));
    assert_eq!(way(&troubles, A, at(closed, 3999)), Way::File);
    // Much later, it is another one.
    let later = at(closed, 4000);
    troubles.begin_trial(A, Ticket::live(12), later);
    assert_eq!(troubles.answered(Ticket::live(12), later), Some(A));
    let much_later = later + RELAPSE + Duration::from_secs(1);
    assert!(troubles.trip(A, much_later));
    assert_eq!(way(&troubles, A, at(much_later, 1000)), Way::Trial(A));
    // A topic of which not even a trial can be made waits longer, too.
    assert!(!troubles.trip(A, at(much_later, 1000)));
    assert_eq!(way(&troubles, A, at(much_later, 2999)), Way::File);
}
