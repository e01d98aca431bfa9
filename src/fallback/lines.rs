//! Reading a fallback file line by line, in memory that no line and no file can exhaust.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that are read at once.
const READ_SIZE: usize = 256 * 1024;
/// What a disk can't read is some of these.
const BLOCK: u64 = 4096;

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Where the next one begins.
    pub next: u64,
    /// It has its newline.
    pub is_ended: bool,
    pub content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Without its newline.
    Text(&'a [u8]),
    /// It cannot be a message, or is longer than any message may be; it was not kept.
    NotKept,
    /// Its disk can't read it, or some of it.
    Lost,
}

/// The lines of a file from `offset` to `end`. The last one may lack its newline.
pub struct Lines {
    file: File,
    /// Where the next read from the file begins.
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not used.
    unused: std::ops::Range<usize>,
    longest: usize,
    line: Vec<u8>,
    /// What the disk can't read is skipped.
    skips: bool,
}

impl Lines {
    /// Lines longer than `longest` bytes are told of, not kept.
    pub fn open(mut file: File, offset: u64, end: u64, longest: usize) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        let length = end.saturating_sub(offset).clamp(1, READ_SIZE as u64);
        Ok(Lines {
            file,
            position: offset,
            end,
            buffer: vec![0; length as usize],
            unused: 0..0,
            longest,
            line: Vec::new(),
            skips: false,
        })
    }

    /// An error of the disk is no error any more, but a line that is [`Content::Lost`].
    pub fn skip_what_is_lost(&mut self) {
        self.skips = true;
    }

    /// Where to stop, for now.
    pub fn stop_at(&mut self, end: u64) {
        self.end = end;
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where the next line begins.
    pub fn offset(&self) -> u64 {
        self.position - self.unused.len() as u64
    }

    /// The next line that is not blank. After an error nothing more can be read.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let offset = self.offset();
            let Some(kind) = self.read_line()? else {
                return Ok(None);
            };
            let is_ended = self.unused.start > 0 && self.buffer[self.unused.start - 1] == b'\n';
            let next = self.offset();
            let content = match kind {
                Kind::Blank => continue,
                Kind::Text => Content::Text(self.line.strip_suffix(b"\n").unwrap_or(&self.line)),
                Kind::NotKept => Content::NotKept,
                Kind::Lost => Content::Lost,
            };
            return Ok(Some(Line {
                offset,
                next,
                is_ended,
                content,
            }));
        }
    }

    fn read_line(&mut self) -> io::Result<Option<Kind>> {
        self.line.clear();
        self.line.shrink_to(READ_SIZE);
        let (mut kind, mut is_empty) = (Kind::Blank, true);
        loop {
            if self.unused.is_empty() {
                match self.fill() {
                    Ok(()) => {}
                    Err(error) if self.skips && is_lost(&error) => {
                        kind = Kind::Lost;
                        is_empty = false;
                        self.skip()?;
                    }
                    Err(error) => return Err(error),
                }
            }
            if self.unused.is_empty() {
                return Ok((!is_empty).then_some(kind));
            }
            is_empty = false;
            let chunk = &self.buffer[self.unused.clone()];
            let newline = memchr::memchr(b'\n', chunk);
            let part = &chunk[..newline.map_or(chunk.len(), |at| at + 1)];
            if kind == Kind::Blank
                && let Some(first) = part.iter().find(|byte| !byte.is_ascii_whitespace())
            {
                // A message begins with a brace: nothing else needs memory.
                kind = if *first == b'{' {
                    Kind::Text
                } else {
                    Kind::NotKept
                };
            }
            if kind == Kind::Text {
                if self.line.len() + part.len() > self.longest {
                    kind = Kind::NotKept;
                } else {
                    self.line.extend_from_slice(part);
                }
            }
            self.unused.start += part.len();
            if newline.is_some() {
                return Ok(Some(kind));
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let left = self.end.saturating_sub(self.position);
        let most = left.min(self.buffer.len() as u64) as usize;
        if most == 0 {
            self.unused = 0..0;
            return Ok(());
        }
        self.read(most)
    }

    fn read(&mut self, most: usize) -> io::Result<()> {
        self.unused = 0..0;
        loop {
            match self.file.read(&mut self.buffer[..most]) {
                Ok(length) => {
                    self.position += length as u64;
                    self.unused = 0..length;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on at the next block that can be read, which may be this one.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let block_end = (self.position / BLOCK + 1) * BLOCK;
            let most = (block_end.min(self.end) - self.position).min(self.buffer.len() as u64);
            match self.read(most as usize) {
                Err(error) if is_lost(&error) => {
                    self.position = block_end.min(self.end);
                    self.file.seek(SeekFrom::Start(self.position))?;
                    if self.position == self.end {
                        return Ok(());
                    }
                }
                result => return result,
            }
        }
    }
}

/// Whether it is these bytes that the disk can't read.
pub fn is_lost(error: &io::Error) -> bool {
    // EIO; ERROR_CRC.
    error.raw_os_error() == Some(if cfg!(windows) { 23 } else { 5 })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Text,
    NotKept,
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(content: &[u8], offset: u64, end: u64, longest: usize) -> Vec<(u64, Option<String>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut lines = Lines::open(file, offset, end, longest).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = match line.content {
                Content::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                Content::NotKept | Content::Lost => None,
            };
            assert!(line.next > line.offset);
            all.push((line.offset, text));
        }
        all
    }

    #[test]
    fn lines_have_their_offsets_and_blank_ones_are_none() {
        assert_eq!(
            read(b"{1}\n\n \r\n{2}\r\n{3", 0, 100, 100),
            [
                (0, Some("{1}".into())),
                (8, Some("{2}\r".into())),
                (13, Some("{3".into())),
            ]
        );
        assert_eq!(read(b"", 0, 100, 100), []);
        assert_eq!(read(b"\n\n", 0, 100, 100), []);
    }

    #[test]
    fn a_part_is_read() {
        assert_eq!(
            read(b"{1}\n{2}\n{3}\n", 4, 8, 100),
            [(4, Some("{2}".into()))]
        );
        assert_eq!(read(b"{1}\n", 400, 800, 100), []);
    }

    #[test]
    fn garbage_and_giants_are_not_kept() {
        let mut content = vec![0; READ_SIZE * 3];
        content.extend_from_slice(b"\n{1}\n{");
        content.extend_from_slice(&[b'x'; READ_SIZE * 2]);
        content.extend_from_slice(b"}\n{2}\n");
        let after = READ_SIZE as u64 * 3 + 1;
        assert_eq!(
            read(&content, 0, u64::MAX, READ_SIZE),
            [
                (0, None),
                (after, Some("{1}".into())),
                (after + 4, None),
                (after + 4 + READ_SIZE as u64 * 2 + 3, Some("{2}".into())),
            ]
        );
    }
}
