//! Reading a fallback file line by line, in memory that no line and no file can exhaust.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes that are read at once.
const READ_SIZE: usize = 256 * 1024;

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Where the next one begins.
    pub next: u64,
    pub content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Without its newline.
    Text(&'a [u8]),
    /// It cannot be a message, or is longer than any message may be; it was not kept.
    NotKept,
}

/// The lines of a file from `offset` to `end`. The last one may lack its newline.
pub struct Lines {
    reader: BufReader<io::Take<File>>,
    offset: u64,
    longest: usize,
    line: Vec<u8>,
}

impl Lines {
    /// Lines longer than `longest` bytes are told of, not kept.
    pub fn open(mut file: File, offset: u64, end: u64, longest: usize) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        let part = file.take(end.saturating_sub(offset));
        Ok(Lines {
            reader: BufReader::with_capacity(READ_SIZE, part),
            offset,
            longest,
            line: Vec::new(),
        })
    }

    /// The next line that is not blank. After an error, it is as if the line had not been begun.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let offset = self.offset;
            let Some(kind) = self.read_line()? else {
                return Ok(None);
            };
            let content = match kind {
                Kind::Blank => continue,
                Kind::Text => Content::Text(self.line.strip_suffix(b"\n").unwrap_or(&self.line)),
                Kind::NotKept => Content::NotKept,
            };
            return Ok(Some(Line {
                offset,
                next: self.offset,
                content,
            }));
        }
    }

    fn read_line(&mut self) -> io::Result<Option<Kind>> {
        self.line.clear();
        self.line.shrink_to(READ_SIZE);
        let mut kind = Kind::Blank;
        let mut length = 0;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
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
            let taken = part.len();
            length += taken as u64;
            self.reader.consume(taken);
            if newline.is_some() {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.offset += length;
        Ok(Some(kind))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Text,
    NotKept,
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
                Content::NotKept => None,
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
