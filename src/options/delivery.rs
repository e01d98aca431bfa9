//! What the README's options about delivery come to in librdkafka's terms.

use std::time::Duration;

use super::tls::Properties;
use super::value::{Result, Section, Value};

const MAX_MS: i64 = 86_400_000;
/// Librdkafka's own bound.
const MAX_BACKOFF_MS: i64 = 300_000;
/// The largest request that Kafka brokers take unless configured otherwise, in bytes: what the
/// broker decides must be able to reach it, what it would hang up on must not.
const MAX_MESSAGE_BYTES: i64 = 104_857_600 - 4096;
/// A try takes at least this long, whatever `retries` say.
const MIN_TRY: Duration = Duration::from_millis(500);

/// Messages that come in within this time travel together, in milliseconds; `batch.maxWait` if that is
/// less.
const LINGER_MS: f64 = 5.0;
/// Of that, what is spent outside of librdkafka's own lingering: the worker naps for 1 to 2 ms,
/// and librdkafka's clock for it has whole milliseconds.
const ON_THE_WAY_MS: f64 = 2.0;
/// Librdkafka's batches are at most this large, unless `batch.size` is larger: many small requests
/// cost more than half of the rate.
const BATCH_SIZE: i64 = 1_000_000;
/// What they are made smaller to, unless `batch.size` is larger, when topics refuse them.
const LEAST_BATCH_SIZE: i64 = 16_384;

/// `batch`: messages wait in memory for so many bytes, or for so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gathering {
    pub bytes: u64,
    pub time: Duration,
}

/// What `requiredAcks`, `timeout`, `retries`, `batch`, `codec` and `reconnectionDelay` come to.
pub(super) struct Delivery {
    pub(super) retry_window: Option<Duration>,
    pub(super) idempotent: bool,
    pub(super) batch_size: u64,
    /// What it may be made smaller to, when a topic refuses batches.
    pub(super) least_batch_size: u64,
    pub(super) gathering: Option<Gathering>,
}

/// The options themselves, in their own units, with their defaults.
struct Options {
    acks: i64,
    timeout: i64,
    retries: Retries,
    batch_size: i64,
    max_wait: f64,
    reconnection: (i64, i64),
    codec: &'static str,
}

struct Retries {
    attempts: i64,
    min: i64,
    max: i64,
}

impl Options {
    fn read(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
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
        let retries = Retries::read(&top.section("retries")?, warnings)?;
        let batch = top.section("batch")?;
        let batch_size = batch
            .integer("size", 0..=i64::from(i32::MAX), "bytes")?
            .unwrap_or(16_384);
        let max_wait = batch
            .number("maxWait", 0..=900_000, "milliseconds")?
            .unwrap_or(100.0);
        batch.warn_unknown(warnings);
        Ok(Options {
            acks,
            timeout,
            retries,
            batch_size,
            max_wait: if batch_size == 0 { 0.0 } else { max_wait },
            reconnection: reconnection(&top.section("reconnectionDelay")?, warnings)?,
            codec: codec(top)?,
        })
    }

    /// Within which a message has to be acknowledged; `None` is for ever.
    fn window<'a>(&self, given: &impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
        // The user's own bound, if there is one, is the window; 0 is librdkafka's "no bound".
        if let Some(ms) = given("message.timeout.ms").or(given("delivery.timeout.ms")) {
            let ms = ms.parse().ok().filter(|ms| *ms > 0);
            return ms.map(Duration::from_millis);
        }
        let Retries { attempts, min, max } = self.retries;
        let waiting = Duration::from_secs_f64(self.max_wait / 1000.0);
        Some(retry_window(attempts, min, max).max(waiting + MIN_TRY))
    }

    /// What messages wait for others in librdkafka, in milliseconds.
    fn together(&self) -> f64 {
        self.max_wait.min(LINGER_MS)
    }

    /// How often a message is sent again.
    fn resends(&self) -> i64 {
        (self.retries.attempts - 1).max(0)
    }

    fn set(&self, window: Option<Duration>, mut set: impl FnMut(&str, String)) {
        let window_ms = window.map_or(i64::from(i32::MAX), |window| window.as_millis() as i64);
        set("acks", self.acks.to_string());
        set("request.timeout.ms", self.timeout.to_string());
        set("partitioner", "murmur2_random".into());
        set("retries", self.resends().to_string());
        let backoff = self.retries.min.clamp(1, MAX_BACKOFF_MS);
        set("retry.backoff.ms", backoff.to_string());
        let longest = self.retries.max.clamp(backoff, MAX_BACKOFF_MS);
        set("retry.backoff.max.ms", longest.to_string());
        set("batch.size", self.batch_size.max(BATCH_SIZE).to_string());
        let linger = (self.together() - ON_THE_WAY_MS).max(0.0);
        set("linger.ms", linger.to_string());
        set("compression.codec", self.codec.into());
        let (min, max) = self.reconnection;
        set("reconnect.backoff.ms", min.to_string());
        set("reconnect.backoff.max.ms", max.to_string());
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
    }
}

impl Retries {
    fn read(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let delay = section.section("delay")?;
        let retries = Retries {
            attempts: section
                .integer("attempts", 0..=i64::from(i32::MAX), "attempts")?
                .unwrap_or(7),
            min: delay
                .integer("min", 0..=MAX_MS, "milliseconds")?
                .unwrap_or(100),
            max: delay
                .integer("max", 0..=MAX_MS, "milliseconds")?
                .unwrap_or(1000),
        };
        delay.warn_unknown(warnings);
        section.warn_unknown(warnings);
        Ok(retries)
    }
}

/// The least and the longest delay.
fn reconnection(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<(i64, i64)> {
    let min = section
        .integer("min", 0..=3_600_000, "milliseconds")?
        .unwrap_or(1000);
    let max = section
        .integer("max", 0..=3_600_000, "milliseconds")?
        .unwrap_or(min.max(10_000));
    if max < min {
        return Err(section.wrong("max", &format!("at least reconnectionDelay.min, {min} ms")));
    }
    section.warn_unknown(warnings);
    Ok((min, max))
}

impl Delivery {
    pub(super) fn read<'a>(
        top: &Section<'_>,
        given: impl Fn(&str) -> Option<&'a str>,
        warnings: &mut Vec<String>,
        properties: &mut Properties,
    ) -> Result<Self> {
        let options = Options::read(top, warnings)?;
        let retry_window = options.window(&given);
        options.set(retry_window, |name, value| {
            properties.push((name.to_owned(), value));
        });

        let (max_wait, together) = (options.max_wait, options.together());
        let is_the_users = ["linger.ms", "queue.buffering.max.ms", "batch.size"]
            .iter()
            .any(|name| given(name).is_some());
        let gathering = (max_wait > together && !is_the_users).then(|| Gathering {
            bytes: options.batch_size as u64,
            time: Duration::from_secs_f64((max_wait - together) / 1000.0),
        });
        let users_size = given("batch.size").and_then(|size| size.parse().ok());
        let at_least = |size: i64| users_size.unwrap_or(options.batch_size.max(size) as u64);
        Ok(Delivery {
            retry_window,
            idempotent: options.acks == -1 && options.resends() > 0,
            batch_size: at_least(BATCH_SIZE),
            least_batch_size: at_least(LEAST_BATCH_SIZE),
            gathering,
        })
    }
}

/// README: 7 attempts, 100 ms, 1 s are `100 + 200 + … + 700` = 2.8 s.
pub(super) fn retry_window(attempts: i64, min: i64, max: i64) -> Duration {
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
