//! `fallback.keepRefused`: messages that Kafka refuses when they are live, in the publisher's own
//! `.rejected` file.

use std::fs::File;
use std::io::{self, Write};

use super::super::instance::Instance;
use super::super::names;
use super::super::rejects::line_of_live;
use super::super::text::Text;
use crate::message::{Batch, KeyEncoding, Topics};

/// The file that would have been the one before the first.
const SEQUENCE: u32 = 0;

#[derive(Default)]
pub struct RefusedFile {
    file: Option<File>,
}

impl RefusedFile {
    /// All of them or, after an error, none.
    pub fn keep(
        &mut self,
        instance: &Instance,
        batch: &mut Batch,
        topics: &Topics,
        encoding: KeyEncoding,
        why: &str,
    ) -> io::Result<()> {
        let name = names::segment(instance.uuid, (instance.uuid, SEQUENCE));
        let mut lines = Vec::new();
        for (record, key, value) in batch.remaining_messages() {
            let mut text = Text::default();
            text.push(&topics.name(record.topic), record, encoding, key, value);
            line_of_live(&mut lines, text.bytes(), why);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let directory = instance.make_directory()?;
                let mode = instance.modes().file;
                none.insert(directory.append(&names::rejected(&name), mode)?)
            }
        };
        let length = file.metadata()?.len();
        let kept = file.write_all(&lines).and_then(|()| file.sync_data());
        kept.inspect_err(|_| {
            // Half a line at its end is nobody's message.
            let _ = file.set_len(length);
        })
    }
}
