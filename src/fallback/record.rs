//! One line of a fallback file: a message as a JSON object that `jq` can read.
//!
//! # Members
//! - `topic`: a string, a name that Kafka can have.
//! - `key`: the exact JSON text that is the key on the wire; with `"keyEncoding":"raw"` the key is the
//!   text of this JSON string itself, with `"base64"` what that decodes to. `null`: no key.
//! - `value`: the exact JSON text that is the value on the wire; with `"valueEncoding":"raw"` or `"base64"`
//!   as with the key. `null`: no value, a tombstone.
//! - `timestamp`: the message's time, in milliseconds since the Unix epoch: when it was queued or, with
//!   `queued`, what the caller has said. Then that is when it was queued.
//! - `partition`: the number of the partition that the message was queued for.
//! - `headers`: an array of `[name, value]`, in their order; name and value are strings, `{"base64":…}`
//!   where they are no UTF-8, or a value is `null`.
//! - `crc32c`: the last member, eight hexadecimal digits: CRC-32C of the line's bytes up to the comma
//!   before this member. A line whose checksum is wrong is no message. Lines without one are those of
//!   0.1.x (`topic`, `key`, `value`), of 3.x (`topic`, `mesgValue`: the value's JSON text as a string,
//!   `ackKey`: not used) and what people write.
//!
//! A line with a member that is not named here, or an encoding, is from a version that knows more. Publishing it
//! without that would make another message of it: it is held back, with its file, until such a version
//! comes ([`Unreadable::is_for_later`]).

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::headers;
use crate::message::{Content, Headers, KeyEncoding, Record, Traits, is_topic_name, now_ms};

const CHECKSUM_BEGIN: &[u8] = b",\"crc32c\":\"";
const CHECKSUM_DIGITS: usize = 8;
const CHECKSUM_END: &[u8] = b"\"}";
const CHECKSUM_LENGTH: usize = CHECKSUM_BEGIN.len() + CHECKSUM_DIGITS + CHECKSUM_END.len();
/// So many of its fixed bytes make a line's end a checksum, if a damaged one.
const CHECKSUM_LIKENESS: usize = 10;

/// Appends the line of one message, with its newline.
///
/// Key and value that are JSON on the wire are spliced in as they are. Others are a JSON string here, and the
/// line says so.
pub fn append(
    line: &mut Vec<u8>,
    topic: &str,
    record: &Record,
    encoding: KeyEncoding,
    content: Content<'_>,
) {
    let Content {
        key,
        value,
        headers,
    } = content;
    let start = line.len();
    line.extend_from_slice(b"{\"topic\":\"");
    line.extend_from_slice(topic.as_bytes());
    line.extend_from_slice(b"\",\"key\":");
    let key_is_json = encoding == KeyEncoding::Json && !record.traits.has(Traits::RAW_KEY);
    let key_encoding = append_part(line, key, record.is_keyless(), key_is_json);
    line.extend_from_slice(b",\"value\":");
    let value_is_json = !record.traits.has(Traits::RAW_VALUE);
    let value_encoding = append_part(line, value, record.is_valueless(), value_is_json);
    line.extend_from_slice(b",\"timestamp\":");
    // Writing to a Vec does not fail.
    let _ = write!(line, "{}", record.timestamp);
    for (name, encoding) in [
        ("keyEncoding", key_encoding),
        ("valueEncoding", value_encoding),
    ] {
        if let Some(encoding) = encoding {
            let _ = write!(line, ",\"{name}\":\"{encoding}\"");
        }
    }
    if record.traits.has(Traits::TIME_GIVEN) {
        // It has not been here for long.
        let _ = write!(line, ",\"queued\":{}", now_ms());
    }
    if record.traits.has(Traits::PARTITION_GIVEN) {
        let _ = write!(line, ",\"partition\":{}", record.partition);
    }
    if !headers.is_empty() {
        append_headers(line, Headers(headers));
    }
    let checksum = digits(&line[start..]);
    line.extend_from_slice(CHECKSUM_BEGIN);
    line.extend_from_slice(&checksum);
    line.extend_from_slice(CHECKSUM_END);
    line.push(b'\n');
}

/// Appends a key or a value. Returns how it is encoded, unless it is JSON as it is.
fn append_part(
    line: &mut Vec<u8>,
    bytes: &[u8],
    is_null: bool,
    is_json: bool,
) -> Option<&'static str> {
    if is_null {
        line.extend_from_slice(b"null");
        return None;
    }
    if is_json {
        line.extend_from_slice(bytes);
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            append_json_string(line, text);
            Some("raw")
        }
        Err(_) => {
            append_base64(line, bytes);
            Some("base64")
        }
    }
}

fn append_base64(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    line.extend_from_slice(BASE64.encode(bytes).as_bytes());
    line.push(b'"');
}

fn append_headers(line: &mut Vec<u8>, headers: Headers<'_>) {
    line.extend_from_slice(b",\"headers\":[");
    for (at, (name, value)) in headers.enumerate() {
        line.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        append_text(line, name);
        line.push(b',');
        match value {
            Some(value) => append_text(line, value),
            None => line.extend_from_slice(b"null"),
        }
        line.push(b']');
    }
    line.push(b']');
}

fn append_text(line: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => append_json_string(line, text),
        Err(_) => {
            line.extend_from_slice(b"{\"base64\":");
            append_base64(line, bytes);
            line.push(b'}');
        }
    }
}

fn digits(bytes: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let checksum = crc32c::crc32c(bytes);
    std::array::from_fn(|at| b"0123456789abcdef"[(checksum >> (28 - 4 * at)) as usize & 15])
}

/// Appends `text` as a JSON string, escaped as V8's `JSON.stringify` does.
pub fn append_json_string(out: &mut Vec<u8>, text: &str) {
    if serde_json::to_writer(&mut *out, text).is_err() {
        unreachable!("a string is always JSON, and a Vec takes all that is written");
    }
}

/// A message as a line has it: key and value are the bytes for the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub topic: Cow<'a, str>,
    /// Lines of 3.x have none.
    pub key: Option<Cow<'a, [u8]>>,
    /// A tombstone has none.
    pub value: Option<Cow<'a, [u8]>>,
    /// See [`Headers`].
    pub headers: Vec<u8>,
    /// If it was queued for one.
    pub partition: Option<i32>,
    /// In milliseconds since the Unix epoch. Lines of 0.1.x and 3.x don't tell.
    pub timestamp: Option<i64>,
    /// When it was queued, if its time is the caller's.
    pub queued: Option<i64>,
}

impl Message<'_> {
    /// When it was queued, in milliseconds since the Unix epoch, as far as it is told.
    pub fn queued_at(&self) -> Option<i64> {
        self.queued.or(self.timestamp)
    }
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the line is not JSON of a message: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the line has no topic that Kafka can have")]
    BadTopic,
    #[error("the line has no value")]
    NoValue,
    #[error("the line has no key")]
    NoKey,
    #[error("the line's '{0}' is not what its encoding says")]
    BadEncoding(&'static str),
    #[error("the line has no headers that Kafka can have: {0}")]
    BadHeaders(String),
    #[error("the line is damaged: its checksum is wrong")]
    Damaged,
    #[error("the line is garbage, or too long")]
    NotKept,
    #[error("the disk cannot read the line")]
    Lost,
    #[error("the line has '{0}', which this version does not know")]
    ForLater(String),
}

impl Unreadable {
    /// The line may be a message for a version that knows more: it must stay where it is.
    pub fn is_for_later(&self) -> bool {
        matches!(self, Unreadable::ForLater(_))
    }
}

/// What a line says of itself.
#[derive(PartialEq, Eq)]
enum Checksum {
    None,
    Right,
    Wrong,
}

fn checksum(line: &[u8]) -> Checksum {
    let Some(at) = line.len().checked_sub(CHECKSUM_LENGTH) else {
        return Checksum::None;
    };
    let (checked, member) = line.split_at(at);
    let (begin, rest) = member.split_at(CHECKSUM_BEGIN.len());
    let (found, end) = rest.split_at(CHECKSUM_DIGITS);
    let like = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    match like(begin, CHECKSUM_BEGIN) + like(end, CHECKSUM_END) {
        alike if alike < CHECKSUM_LIKENESS => Checksum::None,
        alike if alike < CHECKSUM_LENGTH - CHECKSUM_DIGITS => Checksum::Wrong,
        _ if found == digits(checked) => Checksum::Right,
        _ => Checksum::Wrong,
    }
}

// The paths are for fuzzing, which has this file by a path of its own.
#[path = "record/parse.rs"]
mod parse;

pub use parse::parse;

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
