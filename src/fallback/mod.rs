//! The fallback: files for what Kafka does not take, and their way back to Kafka.
//!
//! # Format
//! `<directory>/fallback-<instance uuid>-<sequence>.log`, one JSON object a line:
//! `{"topic":…,"key":…,"value":…,"timestamp":…}`. Key and value are the exact JSON text that is
//! published; `timestamp` is when the message was queued, in milliseconds since the Unix epoch.
//! `"keyEncoding":"raw"` follows where the key on the wire is the text of that JSON string itself
//! ([`record`]). Beside a file there may be `<file>.progress`, how far it was replayed ([`progress`]),
//! and `<file>.rejected`, the lines of it that cannot be replayed ([`rejects`]). No topic is ever part
//! of a path ([`names`]).
//!
//! # Ownership
//! An instance owns the files with its uuid in their names, as long as it holds the lock of
//! `fallback-<uuid>.lock`, which the kernel releases when it dies ([`lease`]). Of these, the file that
//! is being written is the writer's ([`writer`]); a sealed one is closed, never appended to again, and
//! the replayer's ([`replayer`]), which alone removes files. Files are sealed by size, when Kafka or a
//! topic has come back, soon after something was written while Kafka is there, and when the publisher
//! ends. Who finds files of an instance whose lock is free takes the lock, and all of them
//! ([`backlog`]). Files of earlier versions have no lock: they are taken over by a rename when they
//! have been quiet for long enough, which only one process can do.
//!
//! # Replay
//! The oldest file first, one at a time, in passes from the first message that may be unsettled
//! ([`ledger`]). The replayer reads lines and numbers messages; the worker hands them to librdkafka and
//! tells what became of each. A message stays where it is, and counted as on disk, until Kafka has
//! acknowledged it or it was refused for good. The worker grants: nothing while Kafka is away, one
//! message to find out whether it takes any, everything while it is there.
//!
//! # Crash rules
//! - A batch of lines is one `write`. One that comes out short is cut off again before the next; so a
//!   torn line can only be the last one of a file whose process died, or whose disk refused the cut:
//!   such a file is sealed.
//! - Lines are synced to the disk by the option `fallback.fsync`. A sync that fails seals its file: what
//!   the kernel says of it after that can't be relied on.
//! - Progress is written after the acknowledgements that it tells of, by a rename. Lost, old or
//!   damaged, it costs duplicates; and what may be on its way is bounded from what it says.
//! - A rejected line is synced in its `.rejected` file before the progress passes it.
//! - A file is removed before its progress: the other way round a crash in between would publish all of
//!   it again. A progress file without its file is removed by whoever finds it.

mod adoption;
mod backlog;
mod cap;
mod directory;
mod file;
mod heritage;
mod instance;
mod lease;
mod ledger;
mod lines;
mod listing;
mod meter;
#[cfg(test)]
mod model;
mod names;
mod progress;
mod record;
mod rejected_limit;
mod rejects;
mod removal;
mod replayer;
mod rivals;
mod segment;
mod text;
mod writer;

pub use instance::Instance;
pub use replayer::{Command, Offer, Permission, Replayer, ReplayerParts, Verdicts};
pub use writer::{Writer, WriterParts};
