//! The fallback: files for what Kafka does not take.
//!
//! # Format
//! `<directory>/fallback-<instance uuid>-<sequence>.log`, one JSON object a line:
//! `{"topic":…,"key":…,"value":…,"timestamp":…}`. Key and value are the exact JSON text that is
//! published; `timestamp` is when the message was queued, in milliseconds since the Unix epoch.
//! `"keyEncoding":"raw"` follows where the key on the wire is the text of that JSON string itself.
//!
//! # Ownership
//! A file belongs to whoever holds its lock, which the kernel releases when its owner dies. Only
//! the writer of the instance in the file's name appends to it. A sealed file is closed, unlocked
//! and never appended to again: it waits for a replayer. Files are sealed at 64 MiB, when Kafka has
//! come back, and when the publisher ends.
//!
//! # Crash rules
//! A batch of lines is one `write`. One that comes out short is cut off again before the next; so a
//! torn line can only be the last one of a file whose process died, or whose disk refused the cut:
//! such a file is sealed. Lines are synced to the disk by the option `fallback.fsync`. A sync that
//! fails seals its file: what the kernel says of it after that can't be relied on.

mod backlog;
mod cap;
mod file;
mod instance;
mod lease;
mod ledger;
mod lines;
mod listing;
mod meter;
mod names;
mod progress;
mod record;
mod rejects;
mod replay;
mod replayer;
mod segment;
mod writer;

pub use instance::Instance;
pub use replayer::{Command, Offer, Permission, Replayer, ReplayerParts, Verdicts};
pub use writer::{Writer, WriterParts};
