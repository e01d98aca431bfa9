//! One line of a fallback file: a message as a JSON object that `jq` can read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{KeyEncoding, Record, is_topic_name};

/// Appends the line of one message, with its newline.
///
/// Key and value are on the wire as they are here: JSON text, spliced in as it is. With
/// `keyEncoding: 'raw'` the key on the wire is no JSON; the line has it as a JSON string and says so.
pub fn append(
    line: &mut Vec<u8>,
    topic: &str,
    record: &Record,
    encoding: KeyEncoding,
    key: &[u8],
    value: &[u8],
) {
    line.extend_from_slice(b"{\"topic\":\"");
    line.extend_from_slice(topic.as_bytes());
    line.extend_from_slice(b"\",\"key\":");
    match encoding {
        KeyEncoding::Json => line.extend_from_slice(key),
        KeyEncoding::Raw => append_json_string(line, &String::from_utf8_lossy(key)),
    }
    line.extend_from_slice(b",\"value\":");
    line.extend_from_slice(value);
    line.extend_from_slice(b",\"timestamp\":");
    line.extend_from_slice(record.timestamp.to_string().as_bytes());
    if encoding == KeyEncoding::Raw {
        line.extend_from_slice(b",\"keyEncoding\":\"raw\"");
    }
    line.extend_from_slice(b"}\n");
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
    pub value: Cow<'a, [u8]>,
    /// When it was queued, in milliseconds since the Unix epoch. Lines of 0.1.x and 3.x don't tell.
    pub timestamp: Option<i64>,
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
    #[error("the line has an unknown keyEncoding")]
    BadKeyEncoding,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    key_encoding: Option<String>,
    /// 3.x: the value's JSON text, as a string.
    #[serde(default)]
    mesg_value: Option<String>,
}

/// Reads a line of this version, of 0.1.x (which has no timestamp) or of 3.x (which has no key).
///
/// # Errors
/// Says why the line is no message; whoever reads it goes on with the next.
pub fn parse(line: &[u8]) -> Result<Message<'_>, Unreadable> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    if !is_topic_name(&line.topic) {
        return Err(Unreadable::BadTopic);
    }
    let (key, value) = match (line.mesg_value, line.value) {
        (Some(text), None) => (None, Cow::Owned(text.into_bytes())),
        (_, Some(value)) => {
            let key = line.key.ok_or(Unreadable::NoKey)?.get();
            let key = match line.key_encoding.as_deref() {
                None | Some("json") => Cow::Borrowed(key.as_bytes()),
                Some("raw") => Cow::Owned(serde_json::from_str::<String>(key)?.into_bytes()),
                Some(_) => return Err(Unreadable::BadKeyEncoding),
            };
            (Some(key), Cow::Borrowed(value.get().as_bytes()))
        }
        (None, None) => return Err(Unreadable::NoValue),
    };
    Ok(Message {
        topic: line.topic,
        key,
        value,
        timestamp: line.timestamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ANY_PARTITION, TopicId};

    fn line(encoding: KeyEncoding, key: &[u8], value: &[u8]) -> Vec<u8> {
        let record = Record {
            topic: TopicId(0),
            partition: ANY_PARTITION,
            keyless: false,
            key_length: key.len() as u32,
            value_length: value.len() as u32,
            timestamp: 1_700_000_000_123,
        };
        let mut out = Vec::new();
        append(&mut out, "orders", &record, encoding, key, value);
        out
    }

    #[test]
    fn a_line_is_json_with_the_exact_key_and_value() {
        assert_eq!(
            String::from_utf8(line(KeyEncoding::Json, br#""a\nb""#, br#"{"x":1.50}"#)).unwrap(),
            "{\"topic\":\"orders\",\"key\":\"a\\nb\",\"value\":{\"x\":1.50},\"timestamp\":1700000000123}\n"
        );
    }

    #[test]
    fn a_raw_key_is_escaped_and_marked() {
        let line = line(KeyEncoding::Raw, b"a\"\n\x01\xc3\xa9", b"{}");
        let parsed: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(parsed["key"], "a\"\n\u{1}é");
        assert_eq!(parsed["keyEncoding"], "raw");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn a_line_gives_back_the_bytes_that_it_was_made_of() {
        // A lone surrogate, as JSON.stringify escapes it, and spaces that only a reviver would lose.
        let (key, value) = (br#"{"a": [1e3, "\ud800"]}"#, br#"{"x":1.50,"y":"\u2028 "}"#);
        for (encoding, key) in [
            (KeyEncoding::Json, &key[..]),
            (KeyEncoding::Raw, "quote\" and é".as_bytes()),
            (KeyEncoding::Raw, b""),
        ] {
            let line = line(encoding, key, value);
            let message = parse(&line).unwrap();
            assert_eq!(message.topic, "orders");
            assert_eq!(message.key.as_deref(), Some(key));
            assert_eq!(&*message.value, value);
            assert_eq!(message.timestamp, Some(1_700_000_000_123));
        }
    }

    #[test]
    fn lines_of_earlier_versions_are_messages() {
        let old = parse(b"{\"topic\":\"t\",\"key\":7,\"value\":{\"a\":1}}\r").unwrap();
        assert_eq!(
            (old.key.as_deref(), &*old.value),
            (Some(&b"7"[..]), &b"{\"a\":1}"[..])
        );
        assert_eq!(old.timestamp, None);
        let line = br#"{"topic":"t","mesgValue":"{\"a\":\"\\\"\"}","ackKey":12}"#;
        let three = parse(line).unwrap();
        assert_eq!((three.key, &*three.value), (None, &br#"{"a":"\""}"#[..]));
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (line, why) in [
            (&b""[..], "not JSON"),
            (b"\0\0\0\0", "not JSON"),
            (b"[1,2]", "not JSON"),
            (
                b"{\"topic\":\"t\",\"key\":\"k\",\"value\":{\"a\":1},\"timest",
                "not JSON",
            ),
            (b"{\"key\":\"k\",\"value\":{}}", "topic"),
            (
                b"{\"topic\":\"../../etc/x\",\"key\":\"k\",\"value\":{}}",
                "topic",
            ),
            (b"{\"topic\":\"t\",\"key\":\"k\"}", "no value"),
            (
                b"{\"topic\":\"t\",\"key\":\"k\",\"value\":null}",
                "no value",
            ),
            (b"{\"topic\":\"t\",\"value\":{}}", "no key"),
            (
                b"{\"topic\":\"t\",\"key\":7,\"value\":{},\"keyEncoding\":\"raw\"}",
                "not JSON",
            ),
            (
                b"{\"topic\":\"t\",\"key\":7,\"value\":{},\"keyEncoding\":\"x\"}",
                "keyEncoding",
            ),
            (
                b"{\"topic\":\"t\",\"key\":7,\"value\":{\"a\":\"\xff\"}}",
                "not JSON",
            ),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
