//! The fallback: files for what Kafka does not take, and their way back to Kafka.
//!
//! # Format
//! `<directory>/fallback-<uuid>-<sequence>.log`, one JSON object a line, each with a checksum; [`record`]
//! says which members there are, and what becomes of a line with others. Beside a file there may be
//! `<file>.progress`, how far it was replayed ([`progress`]), and `<file>.rejected`, what of it could not be
//! published, and why ([`rejects`]). No topic is ever part of a path ([`names`]); names are looked up in the
//! open directory, and nothing but a plain file is opened ([`directory`]).
//!
//! # Ownership
//! A file belongs to the instance whose uuid comes first in its name. Of its files, the one that is being
//! written is the writer's ([`writer`]); a sealed one is closed, never appended to again, and the
//! replayer's ([`replayer`]), which alone removes files. Files are sealed by size, when Kafka or a topic has
//! come back, soon after something was written while Kafka is there, and when the publisher ends.
//!
//! An instance that has files holds a lock, and gives signs of life in it ([`lease`]). Whoever finds that
//! an instance is dead ([`rivals`]) takes the lock, renames the files into his own name, removes the lock
//! and closes it ([`adoption`]): so no lock but one's own is held for long, and the rename is the fence. An
//! owner that lives after all finds his file gone, begins a new one, and hands the messages of the old one
//! over in his counts ([`Instance::was_taken_over`]). Nothing is taken over before Kafka is there, and no
//! more than can be replayed soon. Files of earlier versions have no lock: they are taken over when they
//! have been quiet for long enough.
//!
//! # Replay
//! The oldest file first, one after the other, in passes from the first message that may be unsettled
//! ([`ledger`]); when all of a file is on its way the next is begun. The replayer reads lines
//! and numbers messages; the worker hands them to librdkafka and tells what became of each. A message stays
//! where it is, and counted as on disk, until Kafka has acknowledged it or it was refused for good. The
//! worker grants: nothing while Kafka is away, one message to find out whether it takes any, everything
//! while it is there.
//!
//! # Crash rules
//! - Lines are appended by `write`. Of one that comes out short whole lines are kept and the rest is cut off
//!   before the next; so a torn line can only be the last one of a file whose process died, or whose disk
//!   refused the cut: such a file is sealed.
//! - Lines are synced to the disk by the option `fallback.fsync`. A sync that fails seals its file: what
//!   the kernel says of it after that can't be relied on. What was written since the last good one is cut
//!   off and written to a new file, as far as it is still in memory.
//! - Progress is written after the acknowledgements that it tells of, by a rename. Lost, old or
//!   damaged, it costs duplicates; and what may be on its way is bounded from what it says. It goes with
//!   its file: it is under the new name before the file is, and under the old one until after.
//! - A rejected line is synced in its `.rejected` file before the progress passes it.
//! - The end of a file has rules of its own ([`removal`]).
//! - "It is gone" and "it can't be told" are two answers: nothing is counted as lost for an error.

mod adoption;
mod backlog;
mod cap;
mod clock;
mod directory;
mod faults;
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
