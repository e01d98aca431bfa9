use super::chunks::CHUNK;
use super::*;
use crate::message::{Content, TopicId};
use crate::statistics::Place;

fn inbox(max: u64) -> Inbox {
    Inbox::new(Limits::new(max), Arc::new(Statistics::default()))
}

fn push(inbox: &Inbox, value: &[u8]) -> Result<Pushed, Reason> {
    inbox.push(value.len() + 1, |arena| {
        arena.extend_from_slice(b"k");
        arena.extend_from_slice(value);
        Ok(Record {
            key_length: 1,
            value_length: value.len() as u32,
            ..Record::of(TopicId(0), 0)
        })
    })
}

#[test]
fn messages_come_out_in_order_across_chunks() {
    let inbox = inbox(64 << 20);
    let count = 10_000_u32;
    for i in 0..count {
        assert_eq!(
            push(&inbox, format!("{i:0100}").as_bytes()),
            Ok(Pushed::Room)
        );
    }
    let mut seen = 0;
    while let Some(mut batch) = inbox.take() {
        while let Some((_, Content { key, value, .. })) = batch.peek() {
            assert_eq!(key, b"k");
            assert_eq!(value, format!("{seen:0100}").as_bytes());
            seen += 1;
            batch.advance();
        }
        inbox.recycle(batch);
    }
    assert_eq!(seen, count);
    assert_eq!(inbox.held(), Amount::default());
    assert_eq!(inbox.snapshot().2.worker.messages, u64::from(count));
}

#[test]
fn memory_is_bounded_and_says_so_before() {
    let inbox = inbox(100_000);
    let mut nearly_full = None;
    let mut accepted = 0;
    while let Ok(pushed) = push(&inbox, &[b'x'; 200]) {
        accepted += 1;
        if pushed == Pushed::NearlyFull {
            nearly_full.get_or_insert(accepted);
        }
    }
    assert_eq!(push(&inbox, b"x"), Err(Reason::BufferFull));
    assert!(accepted <= 100_000 / 457 + 1, "{accepted}");
    assert!(nearly_full.unwrap() <= accepted / 15);
    assert!(!inbox.is_drained());
    while let Some(batch) = inbox.take() {
        // With the worker it still waits.
        assert!(!inbox.is_drained());
        let statistics = &inbox.statistics;
        statistics.transfer(Place::Worker, Place::Delivered, batch.remaining());
    }
    assert!(inbox.is_drained());
}

#[test]
fn a_message_that_can_never_fit_is_too_large() {
    let inbox = inbox(100_000);
    assert_eq!(push(&inbox, &vec![b'x'; 200_000]), Err(Reason::TooLarge));
    assert_eq!(push(&inbox, b"small"), Ok(Pushed::Room));
    assert_eq!(
        inbox.take().unwrap().remaining(),
        Amount {
            messages: 1,
            bytes: 6
        }
    );
}

#[test]
fn a_refused_message_leaves_no_bytes_behind() {
    let inbox = inbox(100_000);
    let refused = inbox.push(MIN_ROOM, |arena| {
        arena.extend_from_slice(b"half");
        Err(Reason::BadValue)
    });
    assert_eq!(refused, Err(Reason::BadValue));
    push(&inbox, b"v").unwrap();
    let batch = inbox.take().unwrap();
    assert_eq!(
        batch
            .peek()
            .map(|(_, content)| (content.key, content.value)),
        Some((&b"k"[..], &b"v"[..]))
    );
}

#[test]
fn a_panic_in_the_middle_of_a_message_leaves_no_bytes_behind() {
    let inbox = inbox(100_000);
    let panicking = || {
        inbox.push(MIN_ROOM, |arena| {
            arena.extend_from_slice(b"half");
            panic!("in the middle")
        })
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking));
    assert!(caught.is_err());
    push(&inbox, b"v").unwrap();
    let batch = inbox.take().unwrap();
    assert_eq!(batch.remaining().bytes, 2);
    assert_eq!(
        batch
            .peek()
            .map(|(_, content)| (content.key, content.value)),
        Some((&b"k"[..], &b"v"[..]))
    );
}

#[test]
fn a_large_message_leaves_no_large_chunk_behind() {
    let inbox = inbox(64 << 20);
    push(&inbox, &vec![b'x'; 8 << 20]).unwrap();
    push(&inbox, b"small").unwrap();
    while let Some(batch) = inbox.take() {
        inbox.recycle(batch);
    }
    let state = inbox.lock();
    assert!(state.chunks.rooms().all(|room| room <= 2 * CHUNK));
}

#[test]
fn nothing_is_accepted_after_close() {
    let inbox = inbox(100_000);
    inbox.close();
    assert_eq!(push(&inbox, b"v"), Err(Reason::Ended));
}
