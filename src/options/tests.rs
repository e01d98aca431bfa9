//! Defaults and mapping, on what the user writes.

use super::delivery::retry_window;
use super::*;

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Missing,
        serde_json::Value::Bool(value) => Value::Boolean(*value),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap()),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(value).collect()),
        serde_json::Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, item)| (key.clone(), value(item)))
                .collect(),
        ),
    }
}

fn read(json: serde_json::Value) -> Result<Config> {
    Config::read(&value(&json), &|_| None)
}

fn ok(mut json: serde_json::Value) -> Config {
    json["connectionString"] = "127.0.0.1:9092".into();
    read(json).unwrap()
}

fn property<'a>(config: &'a Config, name: &str) -> &'a str {
    let found = config
        .kafka
        .properties
        .iter()
        .rev()
        .find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value.as_str())
}

#[test]
fn defaults_are_the_readmes() {
    let config = ok(serde_json::json!({}));
    for (name, expected) in [
        ("bootstrap.servers", "127.0.0.1:9092"),
        ("client.id", "no-kafka-client"),
        ("acks", "-1"),
        ("request.timeout.ms", "30000"),
        ("retries", "6"),
        ("retry.backoff.ms", "100"),
        ("retry.backoff.max.ms", "1000"),
        ("batch.size", "1000000"),
        ("linger.ms", "3"),
        ("compression.codec", "none"),
        ("message.timeout.ms", "2800"),
        ("reconnect.backoff.ms", "1000"),
        ("reconnect.backoff.max.ms", "10000"),
        ("partitioner", "murmur2_random"),
        ("security.protocol", ""),
    ] {
        assert_eq!(property(&config, name), expected, "{name}");
    }
    assert_eq!(config.retry_window, Some(Duration::from_millis(2800)));
    assert!(config.kafka.idempotent);
    assert_eq!(config.max_buffered_bytes, 64 << 20);
    assert_eq!(
        (config.fallback.modes.file, config.fallback.fsync),
        (0o600, Fsync::Interval)
    );
    assert!(config.fallback.directory.ends_with("kafkaFallbackLogs"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn partial_objects_keep_the_other_defaults() {
    let config = ok(serde_json::json!({ "batch": { "size": 1 }, "retries": { "attempts": 3 } }));
    assert_eq!(
        (
            property(&config, "linger.ms"),
            property(&config, "batch.size")
        ),
        ("3", "1000000")
    );
    let gathering = Gathering {
        bytes: 1,
        time: Duration::from_millis(95),
    };
    assert_eq!(config.gathering, Some(gathering));
    assert_eq!(property(&config, "retry.backoff.ms"), "100");
    // 100 + 200 + 300, which is the least that a try with a linger of 100 ms gets.
    assert_eq!(config.retry_window, Some(Duration::from_millis(600)));
}

#[test]
fn retry_windows() {
    assert_eq!(retry_window(7, 100, 1000).as_millis(), 2800);
    assert_eq!(retry_window(12, 100, 1000).as_millis(), 5500 + 2000);
    assert_eq!(retry_window(3, 1000, 500).as_millis(), 1500);
    assert_eq!(retry_window(0, 100, 1000).as_millis(), 0);
    assert_eq!(
        retry_window(i64::from(i32::MAX), 1000, 86_400_000).as_millis(),
        i32::MAX as u128
    );
}

#[test]
fn producer_properties_win() {
    let config = ok(serde_json::json!({
        "requiredAcks": 1,
        "producer": { "linger.ms": 5, "message.timeout.ms": 10100, "dr_cb": true, "socket.keepalive.enable": false },
    }));
    assert_eq!(property(&config, "linger.ms"), "5");
    assert_eq!(property(&config, "socket.keepalive.enable"), "false");
    assert_eq!(property(&config, "dr_cb"), "");
    assert_eq!(config.retry_window, Some(Duration::from_millis(10_100)));
    assert!(!config.kafka.idempotent);
    let config =
        read(serde_json::json!({ "producer": { "metadata.broker.list": "h:1" } })).unwrap();
    assert_eq!(property(&config, "metadata.broker.list"), "h:1");
}

#[test]
fn what_is_wrong_is_named() {
    for (json, name) in [
        (serde_json::json!({}), "connectionString"),
        (
            serde_json::json!({ "connectionString": "" }),
            "connectionString",
        ),
        (
            serde_json::json!({ "connectionString": ["h:1"] }),
            "connectionString",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "codec": "brotli" }),
            "codec",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "codec": 3 }),
            "codec",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "requiredAcks": "all" }),
            "requiredAcks",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "defaultTopic": "a b" }),
            "defaultTopic",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "clientId": "a:b" }),
            "clientId",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "batch": 5 }),
            "batch",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "batch": { "size": 1.5 } }),
            "batch.size",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "partitioner": "murmur" }),
            "partitioner",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "fallback": { "fsync": true } }),
            "fallback.fsync",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "logger": { "logLevel": 9 } }),
            "logger.logLevel",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "keyEncoding": "text" }),
            "keyEncoding",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "producer": { "a": {} } }),
            "producer['a']",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "brokerRedirection": { "a": 1 } }),
            "brokerRedirection",
        ),
        (
            serde_json::json!({ "connectionString": "h:1", "reconnectionDelay": { "min": 5, "max": 1 } }),
            "reconnectionDelay.max",
        ),
    ] {
        assert_eq!(read(json.clone()).unwrap_err().name, name, "{json}");
    }
}

#[test]
fn redirection_maps_addresses() {
    let config = ok(serde_json::json!({ "brokerRedirection": { "kafka://a:1": "b:2" } }));
    let Redirection::Map(map) = config.kafka.redirection else {
        panic!("not a map")
    };
    let address = |host: &str, port| Address {
        host: host.into(),
        port,
    };
    assert_eq!(map.get(&address("a", 1)), Some(&address("b", 2)));
}
