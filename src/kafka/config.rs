//! The native configuration and the client made of it.

use std::ffi::{CStr, CString, c_char};

use rdkafka::bindings as rd;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::types::RDKafkaConfRes;

use super::client::Client;
use super::{Context, redirect, throttle, tokens};
use crate::options::{KafkaConfig, is_secret};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// Live messages.
    Live { idempotent: bool },
    /// One message a batch, at once: to find out which one of a batch was refused, or whether a topic
    /// takes messages again. Not idempotent, because an idempotent producer starts over (150 ms) after
    /// each message that is refused.
    Alone,
    /// Messages from files: without lingering, since the next ones are at hand.
    Replay { idempotent: bool },
    /// Questions only.
    Inquiry,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("KafkaPublisher option 'producer[\"{name}\"]' was refused by librdkafka: {problem}")]
    Property { name: String, problem: String },
    #[error("KafkaPublisher options were refused by librdkafka: {0}")]
    Client(String),
}

/// Properties which, set by the user, say how ordering and retrying go together: with one of them
/// in `producer`, idempotence is the user's decision.
const ORDERING: [&str; 8] = [
    "acks",
    "request.required.acks",
    "retries",
    "message.send.max.retries",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "enable.idempotence",
    "queuing.strategy",
];

/// Long enough to fill batches from what is read at once.
const REPLAY_LINGER_MS: &str = "2";
/// Messages from files are safe there and need not time out with the retry window, after which those
/// that were younger would overtake them. A topic that does not answer holds the others up so long.
const REPLAY_TIMEOUT_MS: u64 = 10_000;
/// Live messages are taken back by the worker, which knows slow from dead. Librdkafka's own time-outs,
/// after so many retry windows, would stop an idempotent producer until all that is on its way is
/// answered, and send that again under new numbers.
const LIVE_TIMEOUT_WINDOWS: u64 = 6;

pub fn client(
    config: &KafkaConfig,
    tuning: Tuning,
    context: Context,
) -> Result<Client, ConfigError> {
    // Lines go to `tracing`, which filters them; more are only made when `debug` asks for them.
    let debug = config.user_properties.iter().any(|name| name == "debug");
    let log_level = if debug {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    };
    let native = ClientConfig::new()
        .create_native_config()
        .map_err(|error| ConfigError::Client(error.to_string()))?;
    let conf = native.ptr();
    // Leaders are connected to at once; a sparse client waits for half of `reconnect.backoff.ms`.
    let sparse = tuning == Tuning::Inquiry;
    set(conf, "enable.sparse.connections", &sparse.to_string())?;
    keep_order(conf, tuning, config)?;
    for (name, value) in &config.properties {
        set(conf, name, value)?;
    }
    tune(conf, tuning, config)?;
    set(conf, "log.queue", "true")?;
    let oauth = config.properties.iter().any(|(name, value)| {
        matches!(name.as_str(), "sasl.mechanisms" | "sasl.mechanism")
            && value.eq_ignore_ascii_case("OAUTHBEARER")
    });
    // SAFETY: the configuration is valid.
    unsafe {
        rd::rd_kafka_conf_set_events(
            conf,
            rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR | rd::RD_KAFKA_EVENT_LOG,
        );
        if oauth {
            rd::rd_kafka_conf_enable_sasl_queue(conf, 1);
        }
    }
    redirect::install(conf);
    throttle::install(conf);
    if context.hooks.tokens.is_some() {
        tokens::install(conf);
    }
    let tokens = context.hooks.tokens.clone();
    let client = Client::new(native, log_level, context)
        .map_err(|problem| ConfigError::Client(without_secrets(&problem, config)))?;
    if let Some(tokens) = tokens {
        tokens.register(&client);
    }
    if oauth {
        // Tokens are refreshed by librdkafka's own thread, also while nothing is published.
        // SAFETY: the client is valid; an error object, if any, is destroyed.
        unsafe {
            let error = rd::rd_kafka_sasl_background_callbacks_enable(client.native_ptr());
            if !error.is_null() {
                rd::rd_kafka_error_destroy(error);
            }
        }
    }
    Ok(client)
}

/// With idempotence, where user and cluster let us. For a cluster that does not take idempotent
/// producers, one request at a time keeps order.
fn keep_order(
    conf: *mut rd::rd_kafka_conf_t,
    tuning: Tuning,
    config: &KafkaConfig,
) -> Result<(), ConfigError> {
    let ordering_is_the_users = config
        .user_properties
        .iter()
        .any(|name| ORDERING.contains(&name.as_str()));
    let retried = config
        .properties
        .iter()
        .any(|(name, value)| name == "retries" && value != "0");
    let idempotent = matches!(
        tuning,
        Tuning::Live { idempotent: true } | Tuning::Replay { idempotent: true }
    );
    if !ordering_is_the_users {
        if config.idempotent && idempotent {
            set(conf, "enable.idempotence", "true")?;
        } else if retried {
            set(conf, "max.in.flight.requests.per.connection", "1")?;
        }
    }
    Ok(())
}

/// What a client's use asks for, whatever the properties say.
fn tune(
    conf: *mut rd::rd_kafka_conf_t,
    tuning: Tuning,
    config: &KafkaConfig,
) -> Result<(), ConfigError> {
    let timeout = config
        .properties
        .iter()
        .rev()
        .find(|(name, _)| matches!(name.as_str(), "message.timeout.ms" | "delivery.timeout.ms"))
        .and_then(|(_, ms)| ms.parse::<u64>().ok())
        .filter(|ms| *ms > 0);
    let longer = match tuning {
        Tuning::Alone => {
            set(conf, "batch.num.messages", "1")?;
            set(conf, "linger.ms", "0")?;
            None
        }
        Tuning::Replay { .. } => {
            set(conf, "linger.ms", REPLAY_LINGER_MS)?;
            timeout.map(|ms| ms.max(REPLAY_TIMEOUT_MS))
        }
        Tuning::Live { .. } => timeout.map(|ms| ms.saturating_mul(LIVE_TIMEOUT_WINDOWS)),
        Tuning::Inquiry => {
            set(conf, "reconnect.backoff.ms", "50")?;
            set(conf, "reconnect.backoff.max.ms", "500")?;
            None
        }
    };
    match longer {
        Some(ms) => set(
            conf,
            "message.timeout.ms",
            &ms.min(i32::MAX as u64).to_string(),
        ),
        None => Ok(()),
    }
}

fn set(conf: *mut rd::rd_kafka_conf_t, name: &str, value: &str) -> Result<(), ConfigError> {
    let error = |problem: String| ConfigError::Property {
        name: name.to_owned(),
        problem,
    };
    let c_string =
        |text: &str| CString::new(text).map_err(|_| error("it contains a NUL byte".into()));
    let (c_name, c_value) = (c_string(name)?, c_string(value)?);
    let mut text = [0 as c_char; 512];
    // SAFETY: all pointers are valid for the call; at most `len` bytes are written, NUL included.
    let result = unsafe {
        rd::rd_kafka_conf_set(
            conf,
            c_name.as_ptr(),
            c_value.as_ptr(),
            text.as_mut_ptr(),
            text.len(),
        )
    };
    if result == RDKafkaConfRes::RD_KAFKA_CONF_OK {
        return Ok(());
    }
    if is_secret(name) && result == RDKafkaConfRes::RD_KAFKA_CONF_INVALID {
        return Err(error("its value, which is not shown, is not valid".into()));
    }
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    Err(error(text.to_string_lossy().into_owned()))
}

/// Librdkafka's text, should it quote a secret.
fn without_secrets(text: &str, config: &KafkaConfig) -> String {
    let mut text = text.to_owned();
    for (name, value) in &config.properties {
        if is_secret(name) && value.len() > 3 {
            text = text.replace(value.as_str(), "(not shown)");
        }
    }
    text
}
