//! `oauthToken`: SASL by tokens from the user's function.

use super::{OptionError, Properties, Result, Section, Value};

const MECHANISM: [&str; 2] = ["sasl.mechanisms", "sasl.mechanism"];
const PROTOCOL: &str = "security.protocol";

/// Librdkafka's own sources of tokens.
const OTHERS: [&str; 2] = [
    "sasl.oauthbearer.method",
    "enable.sasl.oauthbearer.unsecure.jwt",
];

/// Returns whether there is a function for tokens. `given`: what the user has set in `producer`.
pub fn read<'a>(
    top: &Section<'_>,
    given: impl Fn(&str) -> Option<&'a str>,
    properties: &mut Properties,
) -> Result<bool> {
    match top.get("oauthToken") {
        Value::Missing => return Ok(false),
        Value::Function => {}
        _ => {
            let takes = "a function that returns { value, principal, lifetimeMs, extensions }, or a promise of that";
            return Err(top.wrong("oauthToken", takes));
        }
    }
    let conflict = |name: &str, value: &str| {
        let why = format!("goes with OAUTHBEARER only, and producer['{name}'] is '{value}'");
        Err(OptionError::new("oauthToken", why))
    };
    for name in MECHANISM {
        if let Some(value) = given(name).filter(|it| !it.eq_ignore_ascii_case("OAUTHBEARER")) {
            return conflict(name, value);
        }
    }
    for name in OTHERS {
        if let Some(value) = given(name).filter(|it| !matches!(*it, "default" | "false")) {
            return conflict(name, value);
        }
    }
    properties.push((MECHANISM[0].to_owned(), "OAUTHBEARER".to_owned()));
    let is_tls = properties
        .iter()
        .any(|(name, value)| name == PROTOCOL && value == "ssl");
    let protocol = if is_tls { "sasl_ssl" } else { "sasl_plaintext" };
    properties.push((PROTOCOL.to_owned(), protocol.to_owned()));
    Ok(true)
}
