//! Kafka's names of requests and errors, as its protocol documentation spells them.

use std::ffi::CStr;

use rdkafka::bindings::{rd_kafka_err2name, rd_kafka_err2str};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

/// Not an answer: the mock closes the connection.
pub const DISCONNECT: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;

/// The requests that the mock both serves and can refuse.
pub const APIS: [(&str, RDKafkaApiKey); 17] = [
    ("Produce", RDKafkaApiKey::Produce),
    ("Fetch", RDKafkaApiKey::Fetch),
    ("ListOffsets", RDKafkaApiKey::ListOffsets),
    ("OffsetCommit", RDKafkaApiKey::OffsetCommit),
    ("OffsetFetch", RDKafkaApiKey::OffsetFetch),
    ("FindCoordinator", RDKafkaApiKey::FindCoordinator),
    ("JoinGroup", RDKafkaApiKey::JoinGroup),
    ("Heartbeat", RDKafkaApiKey::Heartbeat),
    ("LeaveGroup", RDKafkaApiKey::LeaveGroup),
    ("SyncGroup", RDKafkaApiKey::SyncGroup),
    ("ApiVersions", RDKafkaApiKey::ApiVersion),
    ("InitProducerId", RDKafkaApiKey::InitProducerId),
    ("OffsetForLeaderEpoch", RDKafkaApiKey::OffsetForLeaderEpoch),
    ("AddPartitionsToTxn", RDKafkaApiKey::AddPartitionsToTxn),
    ("AddOffsetsToTxn", RDKafkaApiKey::AddOffsetsToTxn),
    ("EndTxn", RDKafkaApiKey::EndTxn),
    ("TxnOffsetCommit", RDKafkaApiKey::TxnOffsetCommit),
];

/// Served, but the mock looks for no failures there.
pub const METADATA: (&str, RDKafkaApiKey) = ("Metadata", RDKafkaApiKey::Metadata);

/// Codes that librdkafka names otherwise than Kafka.
const RENAMED: [(i32, &str); 9] = [
    (-1, "UNKNOWN_SERVER_ERROR"),
    (0, "NONE"),
    (2, "CORRUPT_MESSAGE"),
    (3, "UNKNOWN_TOPIC_OR_PARTITION"),
    (4, "INVALID_FETCH_SIZE"),
    (6, "NOT_LEADER_OR_FOLLOWER"),
    (10, "MESSAGE_TOO_LARGE"),
    (11, "STALE_CONTROLLER_EPOCH"),
    (17, "INVALID_TOPIC_EXCEPTION"),
];

/// Kafka's codes are consecutive but for a few holes; below -1 are librdkafka's own.
fn errors() -> impl Iterator<Item = RDKafkaRespErr> {
    let end = RDKafkaRespErr::RD_KAFKA_RESP_ERR_END_ALL as i32;
    (-1..end).filter_map(|code| RDKafkaRespErr::try_from(code).ok())
}

pub fn error_by_code(code: i64) -> Option<RDKafkaRespErr> {
    errors().find(|error| i64::from(*error as i32) == code)
}

/// By Kafka's name, or the one that librdkafka uses (often an older one of Kafka's).
pub fn error_by_name(name: &str) -> Option<RDKafkaRespErr> {
    if name == "DISCONNECT" {
        return Some(DISCONNECT);
    }
    errors().find(|error| error_name(*error) == name || librdkafkas_name(*error) == name)
}

pub fn error_name(error: RDKafkaRespErr) -> &'static str {
    let renamed = RENAMED.iter().find(|(code, _)| *code == error as i32);
    renamed.map_or_else(|| librdkafkas_name(error), |(_, name)| name)
}

/// A code with what it means, such as "TOPIC_ALREADY_EXISTS (Broker: Topic already exists)".
pub fn describe(code: RDKafkaErrorCode) -> String {
    let Ok(error) = RDKafkaRespErr::try_from(code as i32) else {
        return code.to_string();
    };
    // SAFETY: librdkafka returns a constant for every code that it defines.
    let meaning = unsafe { CStr::from_ptr(rd_kafka_err2str(error)) };
    format!("{} ({})", error_name(error), meaning.to_string_lossy())
}

/// The known name that is spelled most like this one.
pub fn nearest_error(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    errors()
        .map(error_name)
        .map(|known| (strsim::damerau_levenshtein(known, &name), known))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3)
        .map(|(_, known)| known)
}

fn librdkafkas_name(error: RDKafkaRespErr) -> &'static str {
    // SAFETY: librdkafka returns a constant for every code that it defines.
    let name = unsafe { CStr::from_ptr(rd_kafka_err2name(error)) };
    name.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_by_kafkas_name_by_an_older_name_and_by_code() {
        let code = |name| error_by_name(name).map(|error| error as i32);
        assert_eq!(code("MESSAGE_TOO_LARGE"), Some(10));
        assert_eq!(code("NOT_LEADER_OR_FOLLOWER"), Some(6));
        assert_eq!(code("NOT_LEADER_FOR_PARTITION"), Some(6));
        assert_eq!(code("CLUSTER_AUTHORIZATION_FAILED"), Some(31));
        assert_eq!(code("NONE"), Some(0));
        assert_eq!(code("_TRANSPORT"), None);
        assert_eq!(
            error_by_code(29).map(error_name),
            Some("TOPIC_AUTHORIZATION_FAILED")
        );
        assert_eq!(error_by_code(-195), None);
        assert_eq!(error_by_code(99), None, "a hole in librdkafka's list");
    }

    #[test]
    fn every_error_is_found_by_its_own_name() {
        for error in errors() {
            assert_eq!(error_by_name(error_name(error)), Some(error));
        }
    }

    #[test]
    fn a_misspelled_name_finds_the_right_one() {
        assert_eq!(nearest_error("message_to_large"), Some("MESSAGE_TOO_LARGE"));
        assert_eq!(nearest_error("nothing like it at all"), None);
    }
}
