//! `fallback.keepRefused`: messages that Kafka refuses when they are live, in the publisher's own
//! `.rejected` file.

use std::io::{self, Write};

use super::super::instance::Instance;
use super::super::names;
use super::super::rejects::line_of_live;
use super::super::text::Text;
use crate::message::{Batch, KeyEncoding, Topics};

/// The file that would have been the one before the first.
const SEQUENCE: u32 = 0;

/// Keeps all of them or, after an error, none. The file is opened anew each time: whoever has dealt with
/// it removes it.
pub fn keep_refused(
    instance: &Instance,
    batch: &Batch,
    topics: &Topics,
    encoding: KeyEncoding,
    why: &str,
) -> io::Result<()> {
    let mut lines = Vec::new();
    for (record, content) in batch.remaining_messages() {
        let mut text = Text::default();
        text.push(&topics.name(record.topic), record, encoding, content);
        line_of_live(&mut lines, text.bytes(), why);
    }
    let directory = instance.make_directory()?;
    let segment = names::segment(instance.uuid, (instance.uuid, SEQUENCE));
    let mut file = directory.append(&names::rejected(&segment), instance.modes().file)?;
    let length = file.metadata()?.len();
    let mut write = || {
        file.write_all(&lines)?;
        file.sync_data()?;
        if length == 0 {
            directory.sync()
        } else {
            Ok(())
        }
    };
    write().inspect_err(|_| {
        // Half a line at its end is nobody's message.
        let _ = file.set_len(length);
    })
}
