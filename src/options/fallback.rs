//! `fallback`: the files for what Kafka does not take, and their way back to Kafka.

use std::path::PathBuf;
use std::time::Duration;

use super::retry::RetryPolicy;
use super::value::{OptionError, Result, Section, Value};

/// When lines of the fallback file are synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    Never,
    Interval,
    Always,
}

/// Modes for what is made, as in `chmod`. Without effect on Windows.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    pub directory: u32,
    pub file: u32,
}

/// What is discarded when the directory has reached `fallback.maxBytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    DiscardNewest,
    DiscardOldest,
}

/// How much of what could not be published is kept in `.rejected` files, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectedConfig {
    pub max_bytes: Option<u64>,
    pub max_age: Option<Duration>,
}

/// How fallback files are published again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayConfig {
    pub enabled: bool,
    pub max_messages_per_second: Option<f64>,
    /// Files that were replayed are moved to `<directory>/archive` rather than deleted.
    pub archive: bool,
    /// Of progress files, and of removals.
    pub fsync: Fsync,
    /// Older messages are rejected.
    pub max_age: Option<Duration>,
    pub rejected: RejectedConfig,
}

#[derive(Clone, Debug)]
pub struct FallbackConfig {
    /// If not, nothing is written or replayed, and what Kafka does not take is discarded.
    pub enabled: bool,
    pub directory: PathBuf,
    pub retry: RetryPolicy,
    pub fsync: Fsync,
    /// A file is sealed before it grows past this.
    pub segment_bytes: u64,
    pub modes: Modes,
    /// Most bytes of all fallback files in the directory.
    pub max_bytes: Option<u64>,
    pub when_full: WhenFull,
    /// What the broker refuses live is kept in a `.rejected` file rather than discarded.
    pub keep_refused: bool,
    pub replay: ReplayConfig,
}

const SEGMENT_BYTES: u64 = 64 << 20;

impl FallbackConfig {
    pub(super) fn read(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let section = top.section("fallback")?;
        let directory = section
            .string("directory", "the path of a directory")?
            .unwrap_or("kafkaFallbackLogs");
        if directory.is_empty() {
            return Err(section.wrong("directory", "the path of a directory"));
        }
        let retry = RetryPolicy {
            retries: Some(5),
            factor: 2.0,
            min: Duration::from_millis(100),
            max: Duration::from_secs(2),
            randomize: true,
        };
        let mut config = FallbackConfig {
            enabled: section.boolean("enabled")?.unwrap_or(true),
            directory: std::path::absolute(directory).map_err(|error| {
                OptionError::new("fallback.directory", format!("is no usable path: {error}"))
            })?,
            retry: retry.read(&section.section("retryOptions")?, warnings)?,
            fsync: match section.get("fsync") {
                Value::Missing => Fsync::Interval,
                Value::String(name) if name == "interval" => Fsync::Interval,
                Value::String(name) if name == "never" => Fsync::Never,
                Value::String(name) if name == "always" => Fsync::Always,
                _ => return Err(section.wrong("fsync", "'never', 'interval' or 'always'")),
            },
            segment_bytes: section
                .integer("segmentBytes", 1..=1 << 40, "bytes")?
                .map_or(SEGMENT_BYTES, |bytes| bytes as u64),
            modes: Modes {
                directory: section
                    .integer("directoryMode", 0..=0o7777, "permission bits")?
                    .unwrap_or(0o700) as u32,
                file: section
                    .integer("fileMode", 0..=0o7777, "permission bits")?
                    .unwrap_or(0o600) as u32,
            },
            max_bytes: section
                .integer("maxBytes", 1..=i64::MAX, "bytes")?
                .map(|bytes| bytes as u64),
            when_full: match section.get("whenFull") {
                Value::Missing => WhenFull::DiscardNewest,
                Value::String(name) if name == "discardNewest" => WhenFull::DiscardNewest,
                Value::String(name) if name == "discardOldest" => WhenFull::DiscardOldest,
                _ => return Err(section.wrong("whenFull", "'discardNewest' or 'discardOldest'")),
            },
            keep_refused: section.boolean("keepRefused")?.unwrap_or(false),
            replay: ReplayConfig::read(&section, warnings)?,
        };
        config.replay.fsync = config.fsync;
        config.replay.enabled &= config.enabled;
        section.warn_unknown(warnings);
        Ok(config)
    }
}

impl ReplayConfig {
    fn read(fallback: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let mut config = ReplayConfig {
            enabled: true,
            max_messages_per_second: None,
            archive: false,
            fsync: Fsync::Interval,
            max_age: milliseconds(fallback, "maxAge")?,
            rejected: RejectedConfig::read(fallback, warnings)?,
        };
        match fallback.get("replay") {
            Value::Missing => return Ok(config),
            Value::Boolean(enabled) => {
                config.enabled = *enabled;
                return Ok(config);
            }
            Value::Object(_) => {}
            _ => {
                return Err(fallback.wrong(
                    "replay",
                    "true, false or an object { enabled, maxMessagesPerSecond, keep }",
                ));
            }
        }
        let section = fallback.section("replay")?;
        config.enabled = section.boolean("enabled")?.unwrap_or(true);
        config.max_messages_per_second =
            section.number("maxMessagesPerSecond", 0..=1_000_000_000, "messages")?;
        if config.max_messages_per_second == Some(0.0) {
            return Err(section.wrong(
                "maxMessagesPerSecond",
                "a number of messages above 0; 'enabled: false' switches replay off",
            ));
        }
        config.archive = match section.get("keep") {
            Value::Missing => false,
            Value::String(keep) if keep == "delete" => false,
            Value::String(keep) if keep == "archive" => true,
            _ => return Err(section.wrong("keep", "'delete' or 'archive'")),
        };
        section.warn_unknown(warnings);
        Ok(config)
    }
}

impl RejectedConfig {
    fn read(fallback: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let section = fallback.section("rejected")?;
        let config = RejectedConfig {
            max_bytes: section
                .integer("maxBytes", 0..=i64::MAX, "bytes")?
                .map(|bytes| bytes as u64),
            max_age: milliseconds(&section, "maxAge")?,
        };
        section.warn_unknown(warnings);
        Ok(config)
    }
}

fn milliseconds(section: &Section<'_>, name: &'static str) -> Result<Option<Duration>> {
    let ms = section.integer(name, 1..=i64::MAX, "milliseconds")?;
    Ok(ms.map(|ms| Duration::from_millis(ms as u64)))
}
