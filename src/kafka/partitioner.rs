//! Which partition librdkafka would choose for a key, so that one partition's messages can be told from
//! its neighbours' before they are handed over.

use std::ffi::c_void;
use std::ptr;

use rdkafka::bindings as rd;

use crate::options::KafkaConfig;

type Choose = unsafe extern "C" fn(
    *const rd::rd_kafka_topic_t,
    *const c_void,
    usize,
    i32,
    *mut c_void,
    *mut c_void,
) -> i32;

/// Librdkafka's partitioner, as far as it goes by the key.
#[derive(Clone, Copy)]
pub struct Partitioner {
    choose: Option<Choose>,
    /// An empty key goes anywhere.
    empty_anywhere: bool,
}

impl Partitioner {
    /// The one that the properties name; the last one counts.
    pub fn of(config: &KafkaConfig) -> Self {
        let name = config
            .properties
            .iter()
            .rev()
            .find(|(name, _)| name == "partitioner")
            .map_or("consistent_random", |(_, value)| value.as_str());
        let choose: Option<Choose> = match name {
            "consistent" | "consistent_random" => Some(rd::rd_kafka_msg_partitioner_consistent),
            "murmur2" | "murmur2_random" => Some(rd::rd_kafka_msg_partitioner_murmur2),
            "fnv1a" | "fnv1a_random" => Some(rd::rd_kafka_msg_partitioner_fnv1a),
            _ => None,
        };
        Partitioner {
            choose,
            empty_anywhere: name == "consistent_random",
        }
    }

    /// The partition of a message with this key, of so many; `None` where chance decides.
    pub fn partition(self, key: &[u8], partitions: i32) -> Option<i32> {
        let choose = self.choose?;
        if partitions <= 0 || self.empty_anywhere && key.is_empty() {
            return None;
        }
        // SAFETY: those chosen above read the key and its length, and nothing else.
        let partition = unsafe {
            choose(
                ptr::null(),
                key.as_ptr().cast(),
                key.len(),
                partitions,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        Some(partition)
    }
}
