//! From the user's options to a checked [`Config`]. Every default is written once, here or in the
//! module of its section; partial objects (`{ batch: { size: 1 } }`) keep the other defaults.

mod brokers;
mod delivery;
mod fallback;
mod retry;
mod sasl;
mod tls;
mod value;

use std::time::Duration;

pub use brokers::{Address, Redirection};
use delivery::Delivery;
pub use delivery::Gathering;
pub use fallback::{FallbackConfig, Fsync, Modes, RejectedConfig, ReplayConfig, WhenFull};
pub use retry::RetryPolicy;
pub use tls::Properties;
pub use value::{OptionError, Result, Section, Value, is_secret};

use crate::message::{KeyEncoding, is_topic_name};

/// Of `connectionString`, which has to be there unless `producer` names brokers.
const REQUIRED: &str = "must be set to a comma list of seed brokers, such as '127.0.0.1:9092'";

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
    /// What it may be made smaller to, when a topic refuses batches.
    pub least_batch_size: u64,
    pub redirection: Redirection,
    /// Batches are compressed: a message's size on the wire is not known beforehand.
    pub compresses: bool,
    /// Tokens for SASL come from the user's function.
    pub has_tokens: bool,
}

impl KafkaConfig {
    /// The brokers that are asked first, `host:port` each.
    pub fn seeds(&self) -> Vec<String> {
        self.last(&["metadata.broker.list", "bootstrap.servers"])
            .map(|list| list.split(',').map(|seed| seed.trim().to_owned()).collect())
            .unwrap_or_default()
    }

    fn read(
        top: &Section<'_>,
        producer: Properties,
        environment: &dyn Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Delivery)> {
        let given = |name: &str| {
            producer
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let mut properties = Properties::new();
        let mut scheme_tls = false;
        if *top.get("connectionString") != Value::Missing {
            let (brokers, tls) = brokers::parse_connection_string(top, "connectionString")?;
            scheme_tls = tls;
            let list: Vec<String> = brokers.iter().map(Address::to_string).collect();
            properties.push(("bootstrap.servers".into(), list.join(",")));
        } else if given("metadata.broker.list")
            .or(given("bootstrap.servers"))
            .is_none()
        {
            return Err(OptionError::new("connectionString", REQUIRED));
        }
        let ssl = top.section("ssl")?;
        tls::read(&ssl, environment, scheme_tls, &mut properties, warnings)?;
        let has_tokens = sasl::read(top, given, &mut properties)?;
        properties.push(("client.id".into(), client_id(top)?));
        let delivery = Delivery::read(top, given, warnings, &mut properties)?;
        let user_properties = producer.iter().map(|(name, _)| name.clone()).collect();
        properties.extend(producer);
        let mut kafka = KafkaConfig {
            properties,
            user_properties,
            idempotent: delivery.idempotent,
            batch_size: delivery.batch_size,
            least_batch_size: delivery.least_batch_size,
            compresses: false,
            has_tokens,
            redirection: Redirection::read(top)?,
        };
        let codec = kafka.last(&["compression.codec", "compression.type"]);
        kafka.compresses = codec.is_some_and(|codec| codec != "none");
        Ok((kafka, delivery))
    }

    /// What a property is set to that has several names: the last one counts.
    fn last(&self, names: &[&str]) -> Option<&str> {
        let mut properties = self.properties.iter().rev();
        let found = properties.find(|(name, _)| names.contains(&name.as_str()));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a message counts as delivered only when all in-sync replicas have it.
    pub fn waits_for_all_replicas(&self) -> bool {
        self.last(&["acks", "request.required.acks"])
            .is_none_or(|acks| acks == "-1" || acks == "all")
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    pub default_topic: Option<String>,
    pub key_encoding: KeyEncoding,
    pub max_buffered_bytes: u64,
    /// How long a message waits for Kafka before it goes to file; `None` is for ever.
    pub retry_window: Option<Duration>,
    /// How long messages wait for others to travel with.
    pub gathering: Option<Gathering>,
    pub probe: RetryPolicy,
    pub kafka: KafkaConfig,
    pub fallback: FallbackConfig,
    pub client_id: String,
    /// 0 nothing, 1 errors, 2 and warnings, 3 and information, 4 and debugging, 5 everything.
    pub log_level: u8,
    /// What is odd about the options, for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// # Errors
    /// Names the option that is wrong, what it got and what it takes.
    pub fn read(options: &Value, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if *options == Value::Missing {
            return Err(OptionError::new("connectionString", REQUIRED));
        }
        let top = Section::new("", options)?;
        let mut warnings = Vec::new();
        let producer = producer_properties(&top, &mut warnings)?;
        let (kafka, delivery) = KafkaConfig::read(&top, producer, environment, &mut warnings)?;

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
            gathering: delivery.gathering,
            probe: RetryPolicy {
                retries: None,
                factor: 2.0,
                min: Duration::from_secs(1),
                max: Duration::from_secs(10),
                randomize: true,
            }
            .read(&top.section("retryOptions")?, &mut warnings)?,
            kafka,
            fallback: FallbackConfig::read(&top, &mut warnings)?,
            client_id: client_id(&top)?,
            log_level: log_level(&top, &mut warnings)?,
            warnings: Vec::new(),
        };
        check_partitioner(&top)?;
        // Compression never happens on the JS thread here, whatever it says.
        top.boolean("asyncCompression")?;
        top.warn_unknown(&mut warnings);
        Ok(Config { warnings, ..config })
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

/// A logger itself (pino, console), which is no settings for one, does not come here: `lib/callbacks.js`.
fn log_level(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<u8> {
    const EVERYTHING: u8 = 5;
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

/// That it has a method `partition`, maybe of its class, is checked by `lib/callbacks.js`.
fn check_partitioner(top: &Section<'_>) -> Result<()> {
    match top.get("partitioner") {
        Value::Missing | Value::Object(_) | Value::Other(_) => Ok(()),
        _ => Err(top.wrong(
            "partitioner",
            "an object with a method partition(topicName, partitions, message)",
        )),
    }
}

/// Librdkafka's properties that this publisher cannot honour, and why.
const REFUSED: [(&str, &str); 2] = [
    (
        "transactional.id",
        "is not supported: no transaction would ever be begun or committed, and so nothing be published",
    ),
    (
        "test.mock.num.brokers",
        "is not supported: messages would go to a cluster in memory that nobody reads; for tests there is MockCluster",
    ),
];

/// `producer`: librdkafka's own properties.
fn producer_properties(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Properties> {
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
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(OptionError::new(format!("producer['{name}']"), *why));
        }
        // node-rdkafka's own switches, which its users have in their options: reports and events
        // are always on here.
        if matches!(name.as_str(), "dr_cb" | "dr_msg_cb" | "event_cb") {
            continue;
        }
        if name == "delivery.report.only.error" {
            warnings.push("option 'producer[\"delivery.report.only.error\"]' is ignored: messages are counted by their reports".into());
            continue;
        }
        properties.push((name.clone(), text));
    }
    Ok(properties)
}

#[cfg(test)]
mod tests;
