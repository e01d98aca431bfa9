//! Lines of a fallback file in memory, and what each of them holds.

use super::record;
use crate::message::{Amount, Content, KeyEncoding, Record, TopicId, Waiter};

impl Line {
    /// Of a message that is not written.
    pub fn unwritten(record: &Record, content: Content<'_>) -> Self {
        Line {
            length: 0,
            size: content.amount().bytes as usize,
            topic: record.topic,
            waiter: record.waiter,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
pub struct Line {
    length: usize,
    /// Bytes of its message.
    pub size: usize,
    pub topic: TopicId,
    /// Who waits for it to be written.
    pub waiter: Waiter,
}

impl Text {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a message's line.
    pub fn push(
        &mut self,
        topic: &str,
        record: &Record,
        encoding: KeyEncoding,
        content: Content<'_>,
    ) {
        let before = self.bytes.len();
        record::append(&mut self.bytes, topic, record, encoding, content);
        let length = self.bytes.len() - before;
        self.lines.push(Line {
            length,
            ..Line::unwritten(record, content)
        });
    }

    /// Takes the last line off again. Returns what it held.
    pub fn pop(&mut self) -> Option<Line> {
        let line = self.lines.pop()?;
        self.bytes.truncate(self.bytes.len() - line.length);
        Some(line)
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub fn amount(&self) -> Amount {
        self.amount_of(self.bytes.len())
    }

    /// Of the first lines, which have so many bytes.
    pub fn amount_of(&self, length: usize) -> Amount {
        let (mut amount, mut end) = (Amount::default(), 0);
        for line in &self.lines {
            end += line.length;
            if end > length {
                break;
            }
            amount.add(Amount::of_one(line.size));
        }
        amount
    }

    /// Who waits for the first lines, which have so many bytes.
    pub fn waiters(&self, length: usize) -> impl Iterator<Item = Waiter> {
        let count = self.amount_of(length).messages as usize;
        let waiters = self.lines.iter().take(count).map(|line| line.waiter);
        waiters.filter(|waiter| !waiter.is_nobody())
    }

    /// Adds the first lines of another one, which have so many bytes. Nobody waits for them here, too.
    pub fn extend(&mut self, other: &Text, length: usize) {
        let count = other.amount_of(length).messages as usize;
        self.bytes.extend_from_slice(&other.bytes[..length]);
        let copies = other.lines.iter().take(count).map(|line| Line {
            waiter: Waiter::NOBODY,
            ..*line
        });
        self.lines.extend(copies);
    }

    /// Takes the first lines off, which have so many bytes. Returns what they held.
    pub fn split_off(&mut self, length: usize) -> Amount {
        let amount = self.amount_of(length);
        self.bytes.drain(..length);
        self.lines.drain(..amount.messages as usize);
        amount
    }

    /// Keeps some of the memory for the next use.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    pub fn shrink_to(&mut self, bytes: usize) {
        self.bytes.shrink_to(bytes);
        self.lines.shrink_to(bytes / 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_off_at_both_ends() {
        let record = Record::of(TopicId(0), 1);
        let mut text = Text::default();
        for value in [&b"1"[..], b"22", b"333"] {
            text.push("t", &record, KeyEncoding::Json, Content::new(b"7", value));
        }
        assert_eq!(
            text.amount(),
            Amount {
                messages: 3,
                bytes: 9
            }
        );
        assert_eq!(text.pop().map(|line| line.size), Some(4));
        let first = memchr::memchr(b'\n', text.bytes()).unwrap() + 1;
        assert_eq!(text.amount_of(first - 1), Amount::default());
        let mut other = Text::default();
        other.extend(&text, first);
        assert_eq!(text.split_off(first), Amount::of_one(2));
        assert_eq!(other.amount(), Amount::of_one(2));
        assert!(text.bytes().starts_with(b"{") && text.bytes().ends_with(b"}\n"));
    }
}
