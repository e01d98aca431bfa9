//! What a failed delivery means for the message and for the publisher.

use rdkafka::types::RDKafkaErrorCode;

/// Classified by what the worker does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker will never take this message, if it was alone in its batch. If not, librdkafka says
    /// no more than this of each of several, whatever is wrong with them.
    Refused,
    /// The broker has answered that it does not take this, and not why: maybe later.
    Unexplained,
    /// The message's time is too far from the broker's: a clock is wrong, or the message old.
    Time,
    /// Too large: for the topic if it was alone in its batch, else maybe only the batch was.
    TooLarge,
    /// Refused for another message's sake, which was in the same batch.
    Neighbour,
    /// An answer about this topic; other topics are not concerned.
    Topic,
    /// An answer about this partition; the topic's others are not concerned.
    Partition,
    /// No answer: the cluster, or the way to it.
    Silence,
    /// Handed back because the worker asked for it.
    Purged,
    /// The producer is of no use any more.
    Fatal,
}

/// Librdkafka's words for an error: "Broker: Message size too large".
pub fn describe(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    match text.split_once(" (") {
        Some((_, words)) => words.trim_end_matches(')').to_owned(),
        None => text,
    }
}

pub fn classify(code: RDKafkaErrorCode) -> Outcome {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Outcome::TooLarge,
        Code::InvalidRecord => Outcome::Refused,
        Code::InvalidTimestamp => Outcome::Time,
        Code::InvalidDifferentRecord => Outcome::Neighbour,
        Code::PurgeQueue | Code::PurgeInflight => Outcome::Purged,
        Code::Fatal => Outcome::Fatal,
        Code::Unknown
        | Code::InvalidMessage
        | Code::InvalidRequest
        | Code::InvalidMessageSize
        | Code::UnsupportedVersion => Outcome::Unexplained,
        // A topic that was deleted has no partitions, either.
        Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::InvalidRequiredAcks
        | Code::PolicyViolation
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType
        | Code::InvalidConfig => Outcome::Topic,
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::RequestTimedOut
        | Code::KafkaStorageError => Outcome::Partition,
        _ => Outcome::Silence,
    }
}
