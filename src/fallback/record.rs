//! One line of a fallback file: a message as a JSON object that `jq` can read.

use crate::message::Record;
use crate::options::KeyEncoding;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ANY_PARTITION, TopicId};

    fn line(encoding: KeyEncoding, key: &[u8], value: &[u8]) -> String {
        let record = Record {
            topic: TopicId(0),
            partition: ANY_PARTITION,
            key_length: key.len() as u32,
            value_length: value.len() as u32,
            timestamp: 1_700_000_000_123,
        };
        let mut out = Vec::new();
        append(&mut out, "orders", &record, encoding, key, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_json_with_the_exact_key_and_value() {
        assert_eq!(
            line(KeyEncoding::Json, br#""a\nb""#, br#"{"x":1.50}"#),
            "{\"topic\":\"orders\",\"key\":\"a\\nb\",\"value\":{\"x\":1.50},\"timestamp\":1700000000123}\n"
        );
    }

    #[test]
    fn a_raw_key_is_escaped_and_marked() {
        let line = line(KeyEncoding::Raw, b"a\"\n\x01\xc3\xa9", b"{}");
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["key"], "a\"\n\u{1}é");
        assert_eq!(parsed["keyEncoding"], "raw");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
