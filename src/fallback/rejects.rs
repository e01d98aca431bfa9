//! `<file>.rejected`: what of a file could not be published, and why.
//!
//! One JSON object a line: `{"reason":…,"time":…,"file":…,"offset":…,"line":…}`. `time` is in
//! milliseconds since the Unix epoch; `line` is the line's text without its newline, `base64` stands in
//! its place for bytes that are no text, and `length`, in bytes, for what the disk could not read.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::str;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::directory::Directory;
use super::faults::{Call, meet};
use super::names;
use super::record::append_json_string;
use crate::message::now_ms;
use crate::options::Modes;

/// Bytes that are copied at once: of base64's groups of three.
const PIECE: usize = 48 * 1024;
/// Of so many bytes one may be a control character, which takes six bytes in JSON: a hole of zeros is no
/// text. In a short line they may be many.
const BYTES_A_CONTROL: u64 = 16;

/// A line that is kept apart.
#[derive(Clone, Debug)]
pub struct Reject {
    pub offset: u64,
    pub next: u64,
    pub reason: String,
    /// The disk can't read it.
    pub is_lost: bool,
}

#[derive(Debug)]
pub struct Rejects {
    name: String,
    segment: File,
    rejected: File,
    /// What is known to survive a power cut.
    synced_length: u64,
    /// Lines behind that: a sync that fails leaves nothing known of them, so they are copied anew.
    unsynced: Vec<Reject>,
    is_doubtful: bool,
}

impl Rejects {
    pub fn open(directory: &Directory, segment: &str, modes: Modes) -> io::Result<Self> {
        let rejected = directory.append(&names::rejected(segment), modes.file)?;
        cut_torn_line(&rejected)?;
        Ok(Rejects {
            name: segment.to_owned(),
            segment: directory.read(segment)?,
            synced_length: rejected.metadata()?.len(),
            rejected,
            unsynced: Vec::new(),
            is_doubtful: false,
        })
    }

    /// Copies one line, however long it is: all of it or, after an error, nothing.
    pub fn keep(&mut self, reject: Reject) -> io::Result<()> {
        let length = self.rejected.metadata()?.len();
        self.copy(&reject).inspect_err(|_| {
            // Should this fail, too, half a line of what was no message stays there.
            let _ = self.rejected.set_len(length);
        })?;
        self.unsynced.push(reject);
        Ok(())
    }

    fn copy(&self, reject: &Reject) -> io::Result<()> {
        meet(Call::Write)?;
        let mut out = BufWriter::with_capacity(PIECE, &self.rejected);
        let mut head = b"{\"reason\":".to_vec();
        append_json_string(&mut head, &reject.reason);
        write!(head, ",\"time\":{},\"file\":", now_ms())?;
        append_json_string(&mut head, &self.name);
        write!(head, ",\"offset\":{}", reject.offset)?;
        out.write_all(&head)?;
        if reject.is_lost {
            write!(out, ",\"length\":{}", reject.next - reject.offset)?;
        } else {
            let end = self.end_of_text(reject)?;
            if self.is_text(reject.offset, end)? {
                out.write_all(b",\"line\":\"")?;
                self.copy_text(reject.offset, end, &mut out)?;
            } else {
                out.write_all(b",\"base64\":\"")?;
                self.pieces(reject.offset, end, |bytes| {
                    out.write_all(BASE64.encode(bytes).as_bytes())
                })?;
            }
            out.write_all(b"\"")?;
        }
        out.write_all(b"}\n")?;
        out.flush()
    }

    /// Without the newline.
    fn end_of_text(&self, reject: &Reject) -> io::Result<u64> {
        let mut last = [0];
        let end = reject.next.saturating_sub(1);
        (&self.segment).seek(SeekFrom::Start(end))?;
        (&self.segment).read_exact(&mut last)?;
        Ok(if last == *b"\n" { end } else { reject.next })
    }

    fn is_text(&self, from: u64, to: u64) -> io::Result<bool> {
        let (mut rest, mut is_text, mut controls) = (Vec::new(), true, 0);
        self.pieces(from, to, |bytes| {
            is_text = is_text && whole_characters(&mut rest, bytes).is_some();
            controls += bytes.iter().filter(|byte| **byte < b' ').count() as u64;
            Ok(())
        })?;
        Ok(is_text
            && rest.is_empty()
            && controls <= (to - from).max(PIECE as u64) / BYTES_A_CONTROL)
    }

    fn copy_text(&self, from: u64, to: u64, out: &mut impl Write) -> io::Result<()> {
        let mut rest = Vec::new();
        self.pieces(from, to, |bytes| {
            let text = whole_characters(&mut rest, bytes).unwrap_or_default();
            let mut json = Vec::with_capacity(text.len() + 2);
            append_json_string(&mut json, &text);
            out.write_all(&json[1..json.len() - 1])
        })
    }

    fn pieces(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        (&self.segment).seek(SeekFrom::Start(from))?;
        let mut left = to - from;
        let mut piece = vec![0; left.min(PIECE as u64) as usize];
        while left > 0 {
            let length = left.min(PIECE as u64) as usize;
            (&self.segment).read_exact(&mut piece[..length])?;
            each(&piece[..length])?;
            left -= length as u64;
        }
        Ok(())
    }

    /// What was kept survives a power cut from here on.
    pub fn sync(&mut self, directory: &Directory) -> io::Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if self.is_doubtful {
            self.rejected.set_len(self.synced_length)?;
            for reject in &self.unsynced {
                self.copy(reject)?;
            }
        }
        self.is_doubtful = true;
        meet(Call::Sync)?;
        self.rejected.sync_data()?;
        // Its name, too.
        directory.sync()?;
        self.is_doubtful = false;
        self.unsynced.clear();
        self.synced_length = self.rejected.metadata()?.len();
        Ok(())
    }
}

/// Half a line at the end is of a process that died over it; the line itself is still in its file.
fn cut_torn_line(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let (mut end, mut piece) = (length, vec![0; length.min(PIECE as u64) as usize]);
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let bytes = &mut piece[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        if let Some(at) = memchr::memrchr(b'\n', bytes) {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(())
}

/// Appends a message that was refused before it was in any file; `line` is the one that it would have
/// there.
pub fn line_of_live(out: &mut Vec<u8>, line: &[u8], reason: &str) {
    out.extend_from_slice(b"{\"reason\":");
    append_json_string(out, reason);
    out.extend_from_slice(format!(",\"time\":{},\"line\":", now_ms()).as_bytes());
    append_json_string(out, String::from_utf8_lossy(line).trim_end());
    out.extend_from_slice(b"}\n");
}

/// The characters that are complete with these bytes; `rest` is what is not, from one piece to the
/// next. `None` if it is no UTF-8.
fn whole_characters(rest: &mut Vec<u8>, bytes: &[u8]) -> Option<String> {
    rest.extend_from_slice(bytes);
    let valid = match str::from_utf8(rest) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    let behind = rest.split_off(valid);
    let text = std::mem::replace(rest, behind);
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(offset: u64, next: u64, is_lost: bool) -> Reject {
        Reject {
            offset,
            next,
            reason: "it is \"bad\"".into(),
            is_lost,
        }
    }

    #[test]
    fn lines_are_kept_as_they_were_with_what_is_wrong_with_them() {
        let top = tempfile::tempdir().unwrap();
        let directory = Directory::open(top.path()).unwrap();
        let long = "é".repeat(PIECE);
        let text = [
            "{1}\n",
            "\0garbage\r\n",
            "\u{fffd}\n",
            &long,
            "\n",
            &"\0".repeat(6000),
        ]
        .concat();
        let mut bytes = text.into_bytes();
        let at = bytes.iter().position(|byte| *byte == 0xef).unwrap();
        bytes[at] = 0xff;
        std::fs::write(top.path().join("x.log"), &bytes).unwrap();
        let modes = Modes {
            directory: 0o700,
            file: 0o600,
        };
        let mut rejects = Rejects::open(&directory, "x.log", modes).unwrap();
        rejects.keep(reject(4, 14, false)).unwrap();
        rejects.keep(reject(14, 18, false)).unwrap();
        let zeros = bytes.len() as u64 - 6000;
        rejects.keep(reject(18, zeros, false)).unwrap();
        rejects.keep(reject(0, 4, true)).unwrap();
        rejects.keep(reject(zeros, zeros + 6000, false)).unwrap();
        rejects.sync(&directory).unwrap();
        let kept = std::fs::read_to_string(top.path().join("x.log.rejected")).unwrap();
        let kept: Vec<serde_json::Value> = kept
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(kept[0]["line"], "\0garbage\r");
        assert_eq!(kept[0]["reason"], "it is \"bad\"");
        assert_eq!(
            (&kept[0]["file"], &kept[0]["offset"]),
            (&"x.log".into(), &4.into())
        );
        assert_eq!(kept[1]["base64"], "/7+9");
        assert_eq!(kept[2]["line"], long);
        assert_eq!((&kept[3]["length"], kept[3].get("line")), (&4.into(), None));
        assert_eq!(
            (&kept[4]["base64"], kept[4].get("line")),
            (&"A".repeat(8000).into(), None)
        );
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        for (text, length) in [
            (String::new(), 0),
            ("{1}\n".into(), 4),
            ("{1}\n{2".into(), 4),
            ("{".into(), 0),
            (format!("{{1}}\n{}", "x".repeat(2 * PIECE)), 4),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            cut_torn_line(&file).unwrap();
            assert_eq!(file.metadata().unwrap().len(), length);
        }
    }
}
