//! How far a file has been replayed, kept beside it as `<file>.progress`.
//!
//! It is written after Kafka's acknowledgements and never before, so one that is lost, old or damaged
//! costs duplicates and no message. Its envelope has a checksum. One that does not fit its file, or fits another, is not believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes at the beginning of the file that tell it from others of its name.
pub const FINGERPRINT_LENGTH: u64 = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Messages before this offset are settled, but for the topics in `floors`.
    pub base: u64,
    /// For a topic that is behind: its messages before this offset are settled.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floors: BTreeMap<String, u64>,
    /// From where to where lines are held back: they are not settled, whatever the base is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<(u64, u64)>,
    /// CRC-32C of the first `fingerprint_length` bytes of the file.
    pub fingerprint: u32,
    pub fingerprint_length: u64,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    progress: &'a RawValue,
    crc32c: u32,
}

impl Progress {
    /// One line of JSON with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = serde_json::value::to_raw_value(self).and_then(|progress| {
            serde_json::to_vec(&Envelope {
                crc32c: crc32c::crc32c(progress.get().as_bytes()),
                progress: &progress,
            })
        });
        let Ok(mut line) = encoded else {
            unreachable!("numbers and strings are always JSON")
        };
        line.push(b'\n');
        line
    }

    /// `None` for what is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).ok()?;
        let text = envelope.progress.get();
        if crc32c::crc32c(text.as_bytes()) != envelope.crc32c {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// The offsets that must each be the beginning of a line, or the end of the file.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        let held = self.held.iter().flat_map(|(from, to)| [*from, *to]);
        self.floors.values().copied().chain([self.base]).chain(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            base: 1 << 40,
            floors: BTreeMap::from([("orders".into(), 17)]),
            held: vec![(3, 17), (20, 21)],
            fingerprint: 0xdead_beef,
            fingerprint_length: 1024,
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for progress in [progress(), Progress::default()] {
            assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let line = progress().encode();
        for at in 0..line.len() - 1 {
            let mut damaged = line.clone();
            damaged[at] ^= 1;
            assert_eq!(Progress::decode(&damaged), None, "byte {at}");
            assert_eq!(Progress::decode(&line[..at]), None, "cut at {at}");
        }
        assert_eq!(Progress::decode(b""), None);
        assert_eq!(Progress::decode(&[0; 64]), None);
    }
}
