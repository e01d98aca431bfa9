//! What must hold for any bytes in a fallback file and in its progress file.

#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/headers.rs"]
mod headers;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/message.rs"]
mod message;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/fallback/progress.rs"]
mod progress_file;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/reason.rs"]
mod reason;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/fallback/record.rs"]
mod record_line;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/topics.rs"]
mod topics;

use message::{Content, KeyEncoding, Record, TopicId, Traits};
use progress_file::Progress;
use record_line::{Message, append, parse};

/// Any line is a message or says why not; a message that is written again is the same message.
pub fn record(data: &[u8]) {
    // As files are read.
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(message) = parse(line) {
        let is_json = message.key.as_deref().is_none_or(is_json);
        if is_json {
            same_again(&message, KeyEncoding::Json, Traits::default());
        }
        same_again(&message, KeyEncoding::Raw, Traits::default());
        same_again(&message, KeyEncoding::Json, Traits::RAW_KEY);
    }
    // Any bytes may be a key, a value or a header.
    let mut headers = Vec::new();
    headers::append(&mut headers, data, Some(data));
    headers::append(&mut headers, b"", None);
    let message = Message {
        topic: "t".into(),
        key: Some(data.into()),
        value: Some(data.into()),
        headers,
        partition: Some(3),
        timestamp: Some(1),
        queued: Some(2),
    };
    same_again(&message, KeyEncoding::Json, Traits::RAW_KEY);
    // Any bytes may be looked at as headers.
    assert!(message::Headers(data).count() <= data.len());
}

/// Text that can be spliced into a line as it is.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
        && !text.contains(&b'\n')
        && text == text.trim_ascii()
        && text != b"null"
}

fn same_again(message: &Message<'_>, encoding: KeyEncoding, traits: Traits) {
    let is_raw = message
        .value
        .as_deref()
        .is_some_and(|value| !is_json(value));
    let record = Record {
        partition: message.partition.unwrap_or(-1),
        traits: traits
            .with_if(Traits::KEYLESS, message.key.is_none())
            .with_if(Traits::VALUELESS, message.value.is_none())
            .with_if(Traits::RAW_VALUE, is_raw)
            .with_if(Traits::PARTITION_GIVEN, message.partition.is_some())
            .with_if(Traits::TIME_GIVEN, message.queued.is_some()),
        ..Record::of(TopicId(0), message.timestamp.unwrap_or(0))
    };
    let content = Content {
        key: message.key.as_deref().unwrap_or_default(),
        value: message.value.as_deref().unwrap_or_default(),
        headers: &message.headers,
    };
    let mut line = Vec::new();
    append(&mut line, &message.topic, &record, encoding, content);
    let text = line.strip_suffix(b"\n").expect("a line ends");
    assert!(!text.contains(&b'\n'), "a message is one line");
    let again = parse(text).expect("what was written can be read");
    assert_eq!(again.topic, message.topic);
    assert_eq!(again.key, message.key);
    assert_eq!(again.value, message.value);
    assert_eq!(again.headers, message.headers);
    assert_eq!(again.partition, message.partition);
    assert_eq!(again.timestamp, Some(record.timestamp));
    assert_eq!(again.queued.is_some(), message.queued.is_some());
}

/// Any file is a progress or none; one that is written again is the same; no flipped bit makes it
/// another one.
pub fn progress(data: &[u8]) {
    if let Some(progress) = Progress::decode(data) {
        assert_eq!(Progress::decode(&progress.encode()), Some(progress));
    }
    let mut numbers = data.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let mut number = || numbers.next().unwrap_or(7);
    let progress = Progress {
        base: number(),
        held: (0..number() % 3).map(|_| (number(), number())).collect(),
        fingerprint: number() as u32,
        fingerprint_length: number(),
        floors: (0..number() % 4)
            .map(|index| (format!("topic-{index}"), number()))
            .collect(),
    };
    let mut line = progress.encode();
    assert_eq!(Progress::decode(&line).as_ref(), Some(&progress));
    let bit = number() as usize % (line.len() * 8);
    line[bit / 8] ^= 1 << (bit % 8);
    if let Some(other) = Progress::decode(&line) {
        assert_eq!(other, progress);
    }
}
