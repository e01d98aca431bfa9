//! From the user's options to a checked [`Config`]. Every default is written once, here or in the
//! module of its section; partial objects (`{ batch: { size: 1 } }`) keep the other defaults.

mod brokers;
mod retry;
mod tls;
mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use brokers::{Address, Redirection};
pub use retry::RetryPolicy;
pub use tls::Properties;
pub use value::{OptionError, Result, Section, Value, is_secret};

use crate::message::is_topic_name;

/// What the key is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyEncoding {
    /// `JSON.stringify(key)`, as 0.1.x: a string key keeps its quotes.
    #[default]
    Json,
    /// A string key as it is; other keys as JSON.
    Raw,
}

/// When lines of the fallback file are synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    Never,
    Interval,
    Always,
}

#[derive(Clone, Debug)]
pub struct FallbackConfig {
    pub directory: PathBuf,
    pub retry: RetryPolicy,
    pub fsync: Fsync,
    /// A file is sealed before it grows past this.
    pub segment_bytes: u64,
    pub directory_mode: u32,
    pub file_mode: u32,
}

/// What librdkafka is given.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Mapped from the options, then the user's `producer`, which wins.
    pub properties: Properties,
    /// Names of the properties that the user set in `producer`.
    pub user_properties: Vec<String>,
    /// Ask for an idempotent producer.
    pub idempotent: bool,
    /// A batch is at most this large, unless one message alone is larger.
    pub batch_size: u64,
    pub redirection: Redirection,
    /// Batches are compressed: a message's size on the wire is not known beforehand.
    pub compresses: bool,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub default_topic: Option<String>,
    pub key_encoding: KeyEncoding,
    pub max_buffered_bytes: u64,
    /// How long a message waits for Kafka before it goes to file; `None` is for ever.
    pub retry_window: Option<Duration>,
    pub probe: RetryPolicy,
    pub kafka: KafkaConfig,
    pub fallback: FallbackConfig,
    pub client_id: String,
    /// 0 nothing, 1 errors, 2 and warnings, 3 and information, 4 and debugging, 5 everything.
    pub log_level: u8,
    /// What is odd about the options, for the log.
    pub warnings: Vec<String>,
}

const MAX_MS: i64 = 86_400_000;
/// The largest request that Kafka brokers take unless configured otherwise, in bytes: what the
/// broker decides must be able to reach it, what it would hang up on must not.
const MAX_MESSAGE_BYTES: i64 = 104_857_600 - 4096;
/// A try takes at least this long, whatever `retries` say.
const MIN_TRY: Duration = Duration::from_millis(500);
const SEGMENT_BYTES: u64 = 64 << 20;

impl Config {
    /// `is_logger`: the option `logger` is a logger itself (pino, console), not settings for one.
    ///
    /// # Errors
    /// Names the option that is wrong, what it got and what it takes.
    pub fn read(
        options: &Value,
        is_logger: bool,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        const REQUIRED: &str =
            "must be set to a comma list of seed brokers, such as '127.0.0.1:9092'";
        if *options == Value::Missing {
            return Err(OptionError::new("connectionString", REQUIRED));
        }
        let top = Section::new("", options)?;
        let mut warnings = Vec::new();
        let producer = producer_properties(&top)?;
        let given = |name: &str| {
            producer
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };

        let mut properties = Properties::new();
        let mut scheme_tls = false;
        if *top.get("connectionString") != Value::Missing {
            let (brokers, tls) = brokers::parse_connection_string(&top, "connectionString")?;
            scheme_tls = tls;
            let list: Vec<String> = brokers.iter().map(Address::to_string).collect();
            properties.push(("bootstrap.servers".into(), list.join(",")));
        } else if given("metadata.broker.list")
            .or(given("bootstrap.servers"))
            .is_none()
        {
            return Err(OptionError::new("connectionString", REQUIRED));
        }
        tls::read(
            &top.section("ssl")?,
            environment,
            scheme_tls,
            &mut properties,
            &mut warnings,
        )?;

        let client_id = client_id(&top)?;
        properties.push(("client.id".into(), client_id.clone()));
        let delivery = Delivery::read(&top, given, &mut warnings, &mut properties)?;
        let user_properties = producer.iter().map(|(name, _)| name.clone()).collect();
        properties.extend(producer);
        let last = |names: [&str; 2]| {
            properties
                .iter()
                .rev()
                .find(|(name, _)| names.contains(&name.as_str()))
        };
        let compresses = last(["compression.codec", "compression.type"])
            .is_some_and(|(_, codec)| codec != "none");

        let config = Config {
            default_topic: default_topic(&top)?,
            key_encoding: match top.get("keyEncoding") {
                Value::Missing => KeyEncoding::Json,
                Value::String(name) if name == "json" => KeyEncoding::Json,
                Value::String(name) if name == "raw" => KeyEncoding::Raw,
                _ => return Err(top.wrong("keyEncoding", "'json' or 'raw'")),
            },
            max_buffered_bytes: top
                .integer("maxBufferedBytes", 65_536..=1 << 40, "bytes")?
                .unwrap_or(64 << 20) as u64,
            retry_window: delivery.retry_window,
            probe: RetryPolicy {
                retries: None,
                factor: 2.0,
                min: Duration::from_secs(1),
                max: Duration::from_secs(10),
                randomize: true,
            }
            .read(&top.section("retryOptions")?, &mut warnings)?,
            kafka: KafkaConfig {
                properties,
                user_properties,
                idempotent: delivery.idempotent,
                batch_size: delivery.batch_size,
                compresses,
                redirection: Redirection::read(&top)?,
            },
            fallback: FallbackConfig::read(&top, &mut warnings)?,
            client_id,
            log_level: log_level(&top, is_logger, &mut warnings)?,
            warnings: Vec::new(),
        };
        check_partitioner(&top)?;
        // Compression never happens on the JS thread here, whatever it says.
        top.boolean("asyncCompression")?;
        top.warn_unknown(&mut warnings);
        Ok(Config { warnings, ..config })
    }
}

/// What `requiredAcks`, `timeout`, `retries`, `batch`, `codec` and `reconnectionDelay` come to.
struct Delivery {
    retry_window: Option<Duration>,
    idempotent: bool,
    batch_size: u64,
}

impl Delivery {
    fn read<'a>(
        top: &Section<'_>,
        given: impl Fn(&str) -> Option<&'a str>,
        warnings: &mut Vec<String>,
        properties: &mut Properties,
    ) -> Result<Self> {
        let mut set = |name: &str, value: String| properties.push((name.to_owned(), value));
        let acks = top
            .integer(
                "requiredAcks",
                -1..=1000,
                "acknowledgements (-1 for all in-sync replicas)",
            )?
            .unwrap_or(-1);
        let timeout = top
            .integer("timeout", 0..=900_000, "milliseconds")?
            .unwrap_or(30_000)
            .max(1);

        let retries = top.section("retries")?;
        let delay = retries.section("delay")?;
        let attempts = retries
            .integer("attempts", 0..=i64::from(i32::MAX), "attempts")?
            .unwrap_or(7);
        let min = delay
            .integer("min", 0..=MAX_MS, "milliseconds")?
            .unwrap_or(100);
        let max = delay
            .integer("max", 0..=MAX_MS, "milliseconds")?
            .unwrap_or(1000);
        delay.warn_unknown(warnings);
        retries.warn_unknown(warnings);

        let batch = top.section("batch")?;
        let size = batch
            .integer("size", 0..=i64::from(i32::MAX), "bytes")?
            .unwrap_or(16_384);
        let max_wait = batch
            .number("maxWait", 0..=900_000, "milliseconds")?
            .unwrap_or(100.0);
        batch.warn_unknown(warnings);

        let reconnection = top.section("reconnectionDelay")?;
        let reconnect_min = reconnection
            .integer("min", 0..=3_600_000, "milliseconds")?
            .unwrap_or(1000);
        let reconnect_max = reconnection
            .integer("max", 0..=3_600_000, "milliseconds")?
            .unwrap_or(reconnect_min.max(10_000));
        if reconnect_max < reconnect_min {
            return Err(reconnection.wrong(
                "max",
                &format!("at least reconnectionDelay.min, {reconnect_min} ms"),
            ));
        }
        reconnection.warn_unknown(warnings);

        let linger = if size == 0 { 0.0 } else { max_wait };
        let window = retry_window(attempts, min, max)
            .max(Duration::from_secs_f64(linger / 1000.0) + MIN_TRY);
        // The user's own bound, if there is one, is the window; 0 is librdkafka's "no bound".
        let window = match given("message.timeout.ms").or(given("delivery.timeout.ms")) {
            Some(ms) => ms
                .parse()
                .ok()
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            None => Some(window),
        };
        let window_ms = window.map_or(i64::from(i32::MAX), |window| window.as_millis() as i64);

        set("acks", acks.to_string());
        set("request.timeout.ms", timeout.to_string());
        set("partitioner", "murmur2_random".into());
        let resends = (attempts - 1).max(0);
        set("retries", resends.to_string());
        set("retry.backoff.ms", min.clamp(1, 300_000).to_string());
        set(
            "retry.backoff.max.ms",
            max.clamp(min.max(1), 300_000).to_string(),
        );
        set("batch.size", size.max(1).to_string());
        set("linger.ms", linger.to_string());
        set("compression.codec", codec(top)?.into());
        set("reconnect.backoff.ms", reconnect_min.to_string());
        set("reconnect.backoff.max.ms", reconnect_max.to_string());
        set(
            "message.timeout.ms",
            window.map_or(0, |_| window_ms).to_string(),
        );
        // An unknown topic must be told from an outage before its messages time out.
        set(
            "topic.metadata.propagation.max.ms",
            (window_ms * 2 / 3).clamp(1, 30_000).to_string(),
        );
        set("message.max.bytes", MAX_MESSAGE_BYTES.to_string());
        // The worker bounds what librdkafka holds, in bytes; its own bounds must not come first.
        set("queue.buffering.max.messages", "0".into());
        set("queue.buffering.max.kbytes", i32::MAX.to_string());
        // A broker that accepts connections and never answers is left after this.
        set("socket.connection.setup.timeout.ms", "3000".into());
        set(
            "socket.timeout.ms",
            (window_ms + 1000).clamp(3000, 60_000).to_string(),
        );
        set("socket.keepalive.enable", "true".into());
        Ok(Delivery {
            retry_window: window,
            idempotent: acks == -1 && resends > 0,
            batch_size: given("batch.size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(size.max(1) as u64),
        })
    }
}

/// README: 7 attempts, 100 ms, 1 s are `100 + 200 + … + 700` = 2.8 s.
fn retry_window(attempts: i64, min: i64, max: i64) -> Duration {
    // Growing by `min` until the cap, then constant.
    let growing = if min == 0 {
        0
    } else {
        (max / min).min(attempts)
    };
    let grown = min.saturating_mul(growing.saturating_mul(growing + 1) / 2);
    let capped = if min == 0 {
        0
    } else {
        (attempts - growing).saturating_mul(max.min(i64::from(i32::MAX)))
    };
    Duration::from_millis(grown.saturating_add(capped).clamp(0, i64::from(i32::MAX)) as u64)
}

impl FallbackConfig {
    fn read(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
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
        let config = FallbackConfig {
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
            directory_mode: section
                .integer("directoryMode", 0..=0o7777, "permission bits")?
                .unwrap_or(0o700) as u32,
            file_mode: section
                .integer("fileMode", 0..=0o7777, "permission bits")?
                .unwrap_or(0o600) as u32,
        };
        section.warn_unknown(warnings);
        Ok(config)
    }
}

fn default_topic(top: &Section<'_>) -> Result<Option<String>> {
    const TAKES: &str = "a topic name: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'";
    match top.string("defaultTopic", TAKES)? {
        None => Ok(None),
        Some(name) if is_topic_name(name) => Ok(Some(name.to_owned())),
        Some(_) => Err(top.wrong("defaultTopic", TAKES)),
    }
}

/// The README's default is no-kafka's, kept so that quotas and dashboards by client id go on working.
fn client_id(top: &Section<'_>) -> Result<String> {
    const TAKES: &str = "a string without any of ? : , \"";
    let id = top.string("clientId", TAKES)?.unwrap_or("no-kafka-client");
    if id.contains(['?', ':', ',', '"', '\0']) {
        return Err(top.wrong("clientId", TAKES));
    }
    Ok(id.to_owned())
}

fn codec(top: &Section<'_>) -> Result<&'static str> {
    const NAMES: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
    let found = match top.get("codec") {
        Value::Missing => Some("none"),
        // no-kafka's numbers; its own snappy is 2.
        Value::Number(0.0) => Some("none"),
        Value::Number(1.0) => Some("gzip"),
        Value::Number(2.0) => Some("snappy"),
        Value::String(name) => NAMES.into_iter().find(|known| known == name),
        _ => None,
    };
    found.ok_or_else(|| {
        top.wrong(
            "codec",
            "0 (none), 1 (gzip), 2 (snappy), or 'none', 'gzip', 'snappy', 'lz4' or 'zstd'",
        )
    })
}

fn log_level(top: &Section<'_>, is_logger: bool, warnings: &mut Vec<String>) -> Result<u8> {
    const EVERYTHING: u8 = 5;
    if is_logger {
        top.get("logger");
        return Ok(EVERYTHING);
    }
    let section = top.section("logger")?;
    let level = section
        .integer("logLevel", 0..=5, "(0 nothing, 1 errors, … 5 everything)")?
        .unwrap_or(i64::from(EVERYTHING)) as u8;
    if !matches!(section.get("logFunction"), Value::Missing | Value::Function) {
        return Err(section.wrong("logFunction", "a function (level, clientId, ...args)"));
    }
    section.warn_unknown(warnings);
    Ok(level)
}

/// That it has a method `partition`, maybe of its class, is checked by `host.js`, which has it.
fn check_partitioner(top: &Section<'_>) -> Result<()> {
    match top.get("partitioner") {
        Value::Missing | Value::Object(_) | Value::Other(_) => Ok(()),
        _ => Err(top.wrong(
            "partitioner",
            "an object with a method partition(topicName, partitions, message)",
        )),
    }
}

/// `producer`: librdkafka's own properties.
fn producer_properties(top: &Section<'_>) -> Result<Properties> {
    let section = top.section("producer")?;
    let mut properties = Properties::new();
    for (name, value) in section.entries() {
        let text = match value {
            Value::Missing => continue,
            Value::Boolean(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::String(value) => value.clone(),
            other => {
                return Err(OptionError::new(
                    format!("producer['{name}']"),
                    format!("got {other}; it takes a string, a number or a boolean"),
                ));
            }
        };
        // node-rdkafka's own switches, which its users have in their options: reports and events
        // are always on here.
        if matches!(name.as_str(), "dr_cb" | "dr_msg_cb" | "event_cb") {
            continue;
        }
        properties.push((name.clone(), text));
    }
    Ok(properties)
}

#[cfg(test)]
mod tests;
