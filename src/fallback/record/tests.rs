use super::*;
use crate::message::TopicId;

fn line(encoding: KeyEncoding, key: &[u8], value: &[u8]) -> Vec<u8> {
    let record = Record::of(TopicId(0), 1_700_000_000_123);
    let mut out = Vec::new();
    append(
        &mut out,
        "orders",
        &record,
        encoding,
        Content::new(key, value),
    );
    out
}

#[test]
fn a_line_is_json_with_the_exact_key_and_value() {
    assert_eq!(
        String::from_utf8(line(KeyEncoding::Json, br#""a\nb""#, br#"{"x":1.50}"#)).unwrap(),
        "{\"topic\":\"orders\",\"key\":\"a\\nb\",\"value\":{\"x\":1.50},\"timestamp\":1700000000123,\"crc32c\":\"e9f383d1\"}\n"
    );
}

#[test]
fn a_raw_key_is_escaped_and_marked() {
    let line = line(KeyEncoding::Raw, b"a\"\n\x01\xc3\xa9", b"{}");
    let parsed: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(parsed["key"], "a\"\n\u{1}é");
    assert_eq!(parsed["keyEncoding"], "raw");
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn a_line_gives_back_the_bytes_that_it_was_made_of() {
    // A lone surrogate, as JSON.stringify escapes it, and spaces that only a reviver would lose.
    let (key, value) = (br#"{"a": [1e3, "\ud800"]}"#, br#"{"x":1.50,"y":"\u2028 "}"#);
    for (encoding, key) in [
        (KeyEncoding::Json, &key[..]),
        (KeyEncoding::Raw, "quote\" and é".as_bytes()),
        (KeyEncoding::Raw, b""),
    ] {
        let line = line(encoding, key, value);
        let message = parse(&line).unwrap();
        assert_eq!(message.topic, "orders");
        assert_eq!(message.key.as_deref(), Some(key));
        assert_eq!(message.value.as_deref(), Some(&value[..]));
        assert_eq!(message.timestamp, Some(1_700_000_000_123));
    }
}

#[test]
fn no_flipped_bit_makes_another_message_or_one_for_later() {
    let line = line(KeyEncoding::Json, b"7", br#"{"a":1,"b":"x"}"#);
    let line = line.trim_ascii_end();
    let message = parse(line).unwrap();
    for bit in 0..line.len() * 8 {
        let mut damaged = line.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match parse(&damaged) {
            Ok(other) => assert_eq!(other, message, "bit {bit}"),
            Err(error) => assert!(!error.is_for_later(), "bit {bit}: {error}"),
        }
    }
}

#[test]
fn what_this_version_does_not_know_is_for_later() {
    for member in [
        r#""colour":null"#,
        r#""keyEncoding":"zip""#,
        r#""valueEncoding":"zip""#,
    ] {
        let line = format!(r#"{{"topic":"t","key":1,"value":"YQ==",{member}}}"#);
        assert!(
            parse(line.as_bytes()).unwrap_err().is_for_later(),
            "{member}"
        );
    }
    let keyless = parse(br#"{"topic":"t","key":null,"value":{}}"#).unwrap();
    assert_eq!(keyless.key, None);
}

#[test]
fn every_kind_of_record_comes_back_as_it_was() {
    let traits = Traits::default();
    let raw = traits.with(Traits::RAW_KEY).with(Traits::RAW_VALUE);
    let mut headers = Vec::new();
    for (name, value) in [
        (&b"a"[..], Some(&b"text"[..])),
        (b"a", Some(b"\xff\0")),
        (b"\xfe", None),
        ("ü\"".as_bytes(), Some(b"")),
    ] {
        headers::append(&mut headers, name, value);
    }
    for (traits, key, value) in [
        (raw, &b"\xff\n"[..], &b"\0\xfe"[..]),
        (raw, b"text\n", "ü\"\\".as_bytes()),
        (raw, b"null", b"null"),
        (raw, b"", b""),
        (
            traits.with(Traits::KEYLESS).with(Traits::RAW_VALUE),
            b"",
            b"x",
        ),
        (traits.with(Traits::VALUELESS), b"7", b""),
        (
            traits.with(Traits::KEYLESS).with(Traits::VALUELESS),
            b"",
            b"",
        ),
    ] {
        for (partition, headers) in [(None, &[][..]), (Some(7), &headers)] {
            let record = Record {
                partition: partition.unwrap_or(-1),
                traits: traits.with_if(Traits::PARTITION_GIVEN, partition.is_some()),
                ..Record::of(TopicId(0), 5)
            };
            let content = Content {
                key,
                value,
                headers,
            };
            let mut line = Vec::new();
            append(&mut line, "t", &record, KeyEncoding::Json, content);
            let message = parse(&line).unwrap();
            let is = |trait_of, bytes| (!traits.has(trait_of)).then_some(bytes);
            assert_eq!(message.key.as_deref(), is(Traits::KEYLESS, key));
            assert_eq!(message.value.as_deref(), is(Traits::VALUELESS, value));
            assert_eq!((message.partition, &*message.headers), (partition, headers));
            assert!(Headers(headers).all(|(name, _)| !name.is_empty()));
        }
    }
}

#[test]
fn lines_of_earlier_versions_are_messages() {
    let old = parse(b"{\"topic\":\"t\",\"key\":7,\"value\":{\"a\":1}}\r").unwrap();
    assert_eq!(
        (old.key.as_deref(), old.value.as_deref()),
        (Some(&b"7"[..]), Some(&b"{\"a\":1}"[..]))
    );
    assert_eq!(old.timestamp, None);
    let line = br#"{"topic":"t","mesgValue":"{\"a\":\"\\\"\"}","ackKey":12}"#;
    let three = parse(line).unwrap();
    assert_eq!(
        (three.key, three.value.as_deref()),
        (None, Some(&br#"{"a":"\""}"#[..]))
    );
}

#[test]
fn what_is_no_message_says_why() {
    for (line, why) in [
        (&b""[..], "not JSON"),
        (b"\0\0\0\0", "not JSON"),
        (b"[1,2]", "not JSON"),
        (
            b"{\"topic\":\"t\",\"key\":\"k\",\"value\":{\"a\":1},\"timest",
            "not JSON",
        ),
        (b"{\"key\":\"k\",\"value\":{}}", "topic"),
        (
            b"{\"topic\":\"../../etc/x\",\"key\":\"k\",\"value\":{}}",
            "topic",
        ),
        (b"{\"topic\":\"t\",\"key\":\"k\"}", "no value"),
        (
            b"{\"topic\":\"t\",\"key\":\"k\",\"value\":{},\"crc32c\":\"00000000\"}",
            "checksum",
        ),
        (
            b"{\"crc32c\":\"00000000\",\"topic\":\"t\",\"key\":\"k\",\"value\":{}}",
            "checksum",
        ),
        (b"{\"topic\":\"t\",\"value\":{}}", "no key"),
        (
            b"{\"topic\":\"t\",\"key\":7,\"value\":{},\"keyEncoding\":\"raw\"}",
            "not JSON",
        ),
        (
            b"{\"topic\":\"t\",\"key\":\"?\",\"value\":{},\"keyEncoding\":\"base64\"}",
            "encoding",
        ),
        (
            b"{\"topic\":\"t\",\"key\":7,\"value\":{},\"headers\":[[\"a\"]]}",
            "headers",
        ),
        (
            b"{\"topic\":\"t\",\"key\":7,\"value\":{\"a\":\"\xff\"}}",
            "not JSON",
        ),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
