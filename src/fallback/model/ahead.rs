//! A file that is counted further than there is room for its messages.

use std::fs;

use uuid::Uuid;

use super::super::names;
use super::super::replayer::{Offer, Permission, Verdicts};
use super::process::{Process, Settings};

const MESSAGES: u64 = 30;

#[test]
fn what_was_counted_ahead_is_read_too() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Uuid::new_v4();
    // More than is counted at once, and each more than the share that may be on its way.
    let value = "x".repeat(100_000);
    let line = format!("{{\"topic\":\"orders\",\"key\":\"k\",\"value\":\"{value}\"}}\n");
    let path = directory.path().join(names::segment(writer, (writer, 1)));
    fs::write(path, line.repeat(MESSAGES as usize)).unwrap();

    let mut process = Process::start(directory.path(), Settings::default());
    process.replay.grant(Permission::Flow);
    let mut on_its_way = Vec::new();
    for _ in 0..1000 {
        process.replay.step(&process.offers);
        while let Ok(offer) = process.offered.try_recv() {
            if let Offer::Messages { first_id, batch } = offer {
                on_its_way.extend((first_id..).take(batch.remaining_messages().count()));
            }
        }
        if process.statistics.counts().recovered == MESSAGES {
            process.replay.hear(Verdicts {
                delivered: std::mem::take(&mut on_its_way),
                ..Verdicts::default()
            });
        }
    }
    assert_eq!(process.statistics.counts().replayed, MESSAGES);
    process.check();
}
