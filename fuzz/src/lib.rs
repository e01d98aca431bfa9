//! What must hold for any bytes in a fallback file and in its progress file.

#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/message.rs"]
mod message;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/fallback/progress.rs"]
mod progress_file;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/fallback/record.rs"]
mod record_line;
#[allow(dead_code, reason = "the addon's; only a part is used here")]
#[path = "../../src/topics.rs"]
mod topics;

use message::{ANY_PARTITION, KeyEncoding, Record, TopicId};
use progress_file::Progress;
use record_line::{Message, append, parse};

/// Any line is a message or says why not; a message that is written again is the same message.
pub fn record(data: &[u8]) {
    // As files are read.
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(message) = parse(line)
        && let Some(key) = message.key.as_deref()
    {
        let timestamp = message.timestamp.unwrap_or(0);
        let is_json = serde_json::from_slice::<serde_json::Value>(key).is_ok();
        if is_json {
            same_again(&message, KeyEncoding::Json, key, timestamp);
        }
        if std::str::from_utf8(key).is_ok() {
            same_again(&message, KeyEncoding::Raw, key, timestamp);
        }
    }
    // Any text may be a key on the wire.
    let key = String::from_utf8_lossy(data);
    let message = Message {
        topic: "t".into(),
        key: Some(key.as_bytes().into()),
        value: b"{}".into(),
        timestamp: Some(1),
    };
    same_again(&message, KeyEncoding::Raw, key.as_bytes(), 1);
}

fn same_again(message: &Message<'_>, encoding: KeyEncoding, key: &[u8], timestamp: i64) {
    let record = Record {
        topic: TopicId(0),
        partition: ANY_PARTITION,
        keyless: false,
        key_length: key.len() as u32,
        value_length: message.value.len() as u32,
        timestamp,
    };
    let mut line = Vec::new();
    let (topic, value) = (&message.topic, &message.value);
    append(&mut line, topic, &record, encoding, key, value);
    let text = line.strip_suffix(b"\n").expect("a line ends");
    assert!(!text.contains(&b'\n'), "a message is one line");
    let again = parse(text).expect("what was written can be read");
    assert_eq!(again.topic, message.topic);
    assert_eq!(again.key.as_deref(), Some(key));
    assert_eq!(again.value, message.value);
    assert_eq!(again.timestamp, Some(timestamp));
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
