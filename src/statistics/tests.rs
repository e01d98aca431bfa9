//! A message is in one place only, whatever moves it.

use super::*;

fn held(counts: &Counts) -> u64 {
    counts.worker.messages + counts.flight.messages + counts.writer.messages + counts.disk.messages
}

#[test]
fn a_message_is_in_one_place_only() {
    let statistics = Statistics::default();
    let amount = Amount {
        messages: 10,
        bytes: 1000,
    };
    statistics.leave_inbox(amount);
    assert_eq!(statistics.held_cost(), amount.cost());
    statistics.transfer(Place::Worker, Place::Flight, amount);
    statistics.delivered(
        Amount {
            messages: 4,
            bytes: 400,
        },
        &[(Duration::from_millis(1), 3), (Duration::from_millis(4), 1)],
    );
    statistics.transfer(
        Place::Flight,
        Place::Writer,
        Amount {
            messages: 6,
            bytes: 600,
        },
    );
    statistics.transfer(
        Place::Writer,
        Place::Disk,
        Amount {
            messages: 5,
            bytes: 500,
        },
    );
    let lost = Place::Discarded(Reason::FallbackFailed);
    statistics.transfer(
        Place::Writer,
        lost,
        Amount {
            messages: 1,
            bytes: 100,
        },
    );

    let counts = statistics.counts();
    assert_eq!(
        held(&counts) + counts.delivered + counts.discarded_total(),
        10
    );
    assert_eq!(
        (counts.delivered, counts.disk.messages, counts.written),
        (4, 5, 5)
    );
    assert_eq!(counts.discarded_for(Reason::FallbackFailed), 1);
    assert_eq!(statistics.held_cost(), 0);
    assert!((statistics.latency().max - 4.0).abs() < 0.1);
}

#[test]
fn reset_keeps_gauges_and_carries_them_over() {
    let statistics = Statistics::default();
    statistics.leave_inbox(Amount {
        messages: 3,
        bytes: 30,
    });
    statistics.transfer(
        Place::Worker,
        Place::Disk,
        Amount {
            messages: 1,
            bytes: 10,
        },
    );
    statistics.refuse(Reason::BadKey, None);
    statistics.reset(Amount {
        messages: 2,
        bytes: 20,
    });
    let counts = statistics.counts();
    assert_eq!(
        (counts.carried, counts.discarded_total(), counts.written),
        (5, 0, 0)
    );
    assert_eq!((counts.worker.messages, counts.disk.messages), (2, 1));
    assert!(counts.errors.last.is_none());
}

#[test]
fn what_the_writer_is_given_up_with_is_counted_once() {
    let statistics = Statistics::default();
    let amount = Amount {
        messages: 3,
        bytes: 30,
    };
    statistics.leave_inbox(amount);
    statistics.transfer(Place::Worker, Place::Writer, amount);
    assert_eq!(statistics.give_up_writer(), amount);
    // The disk comes back.
    statistics.transfer(Place::Writer, Place::Disk, amount);
    let counts = statistics.counts();
    assert_eq!(counts.discarded_for(Reason::FallbackFailed), 3);
    assert_eq!(
        (counts.writer, counts.disk.messages),
        (Amount::default(), 0)
    );
}
