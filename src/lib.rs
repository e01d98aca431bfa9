//! A Kafka publisher for Node.js that never makes its caller wait.
//!
//! # A message's journey
//! `queue()` ([`publisher`]) turns key and value into JSON text on the JS thread, copies the bytes
//! into the [`inbox`] and returns. The [`worker`], a thread, drains the inbox and hands each message
//! to librdkafka ([`kafka`]), which owns it until its delivery report. What is not delivered within
//! the retry window, and everything while Kafka is away, goes to the [`fallback`] writer, another
//! thread, which appends it to a file. When Kafka is back, the replayer, a third thread, reads the
//! files, and the worker publishes what it finds.
//!
//! # Invariants
//! 1. A message is in exactly one place, and counted there ([`statistics`]).
//! 2. Only the worker holds a producer; only the writer writes a fallback file; only the replayer removes
//!    one.
//! 3. `queue()` never blocks, throws or waits; memory is bounded in bytes, and what does not fit
//!    goes to file.
//! 4. With Kafka up, messages of one topic and key arrive in the order in which they were queued. A
//!    fallback file has the messages of an outage in that order, too; those that spilled because
//!    memory was full, or that came back late because their topic was in trouble, follow as they come.
//!    Messages from files may come later than newer live ones.
//! 5. Nothing reaches a topic that the user did not queue; the oldest message on disk is the one that
//!    tells whether Kafka takes messages again.
//! 6. One topic's trouble is its own; silence and broken connections are the cluster's.
//! 7. A producer that fails for good is replaced.
//! 8. Every change of state is logged once, counted, and seen in `getStatistics()`.
//!
//! Types of Node-API stay in [`publisher`], [`edge`] and [`testing`]; all else can be tested without
//! Node.

mod edge;
#[allow(
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "ranges come from searches in the same bytes; all that reads files is fuzzed"
)]
mod fallback;
mod fates;
mod guard;
mod headers;
mod inbox;
mod kafka;
mod logging;
mod message;
mod news;
mod options;
mod publisher;
mod reason;
mod snapshot;
mod statistics;
mod stderr;
mod testing;
mod topics;
mod worker;
