//! Why messages are discarded.

/// Why a message was discarded. The order is that of [`Reason::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    BadKey,
    BadValue,
    BadOptions,
    NoTopic,
    BadTopic,
    TooLarge,
    Ended,
    Refused,
    BufferFull,
    FallbackFailed,
    FallbackFull,
    FileRemoved,
    FallbackOff,
    InternalError,
}

impl Reason {
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [Reason; 14] = [
        Reason::BadKey,
        Reason::BadValue,
        Reason::BadOptions,
        Reason::NoTopic,
        Reason::BadTopic,
        Reason::TooLarge,
        Reason::Ended,
        Reason::Refused,
        Reason::BufferFull,
        Reason::FallbackFailed,
        Reason::FallbackFull,
        Reason::FileRemoved,
        Reason::FallbackOff,
        Reason::InternalError,
    ];

    /// The name under which `getStatistics().discardedCnt` counts it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::BadKey => "badKey",
            Reason::BadValue => "badValue",
            Reason::BadOptions => "badOptions",
            Reason::NoTopic => "noTopic",
            Reason::BadTopic => "badTopic",
            Reason::TooLarge => "tooLarge",
            Reason::Ended => "ended",
            Reason::Refused => "refused",
            Reason::BufferFull => "bufferFull",
            Reason::FallbackFailed => "fallbackFailed",
            Reason::FallbackFull => "fallbackFull",
            Reason::FileRemoved => "fileRemoved",
            Reason::FallbackOff => "fallbackOff",
            Reason::InternalError => "internalError",
        }
    }

    /// The sentence that the log gives.
    pub fn sentence(self) -> &'static str {
        match self {
            Reason::BadKey => "the key must be a string, a number or an object",
            Reason::BadValue => "the message must be an object that JSON.stringify can serialise",
            Reason::BadOptions => "the message's options are not valid",
            Reason::NoTopic => "no topic was given and there is no defaultTopic",
            Reason::BadTopic => {
                "a topic name takes 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'"
            }
            Reason::TooLarge => "the message is too large",
            Reason::Ended => "the publisher has ended",
            Reason::Refused => "the broker refused the message for good",
            Reason::BufferFull => {
                "maxBufferedBytes is used up: neither Kafka nor the disk keeps pace"
            }
            Reason::FallbackFailed => "the fallback file could not be written",
            Reason::FallbackFull => "the fallback directory has reached fallback.maxBytes",
            Reason::FileRemoved => "the fallback file was removed by somebody else",
            Reason::FallbackOff => "Kafka did not take it, and fallback.enabled is false",
            Reason::InternalError => "an internal error kept it from being taken",
        }
    }
}
