//! `ssl`: TLS, as Node's `tls.connect` names it, in librdkafka's terms.

use super::value::{OptionError, Result, Section, Value};

/// Librdkafka properties, in the order in which they are set.
pub type Properties = Vec<(String, String)>;

/// What PEM text has, and a path does not.
const PEM: &str = "-----BEGIN ";

/// Options of `tls.connect` that librdkafka has no counterpart for.
const WITHOUT_EFFECT: [&str; 6] = [
    "secureProtocol",
    "minVersion",
    "maxVersion",
    "secureOptions",
    "servername",
    "checkServerIdentity",
];

/// Appends the properties for `ssl`. `scheme_tls`: a broker was given as `ssl://`.
///
/// TLS is on when there is a certificate with its key, or a CA, or the scheme says so.
pub fn read(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    scheme_tls: bool,
    properties: &mut Properties,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let (certificate, key) = certificate_and_key(section, environment)?;
    let ca = material(section, "ca")?.or_else(|| environment("KAFKA_CLIENT_CA"));
    let verifies = section.boolean("rejectUnauthorized")?.unwrap_or(false);
    let pfx = section.string("pfx", "the path of a PKCS#12 file")?;
    let passphrase = section.string("passphrase", "a string")?;

    warn_without_effect(section, warnings);
    let ciphers = section
        .string("ciphers", "an OpenSSL cipher list")?
        .map(tls12_ciphers);
    let curves = section.string("ecdhCurve", "an OpenSSL list of curves")?;
    let sigalgs = section.string("sigalgs", "an OpenSSL list of signature algorithms")?;
    let crl = section.string("crl", "the path of a CRL file")?;
    section.warn_unknown(warnings);
    check_pair(certificate.as_ref(), key.as_ref())?;
    if certificate.is_none() && ca.is_none() && pfx.is_none() && !scheme_tls {
        return Ok(());
    }

    let mut set = |name: &str, value: String| properties.push((name.to_owned(), value));
    set("security.protocol", "ssl".into());
    set("enable.ssl.certificate.verification", verifies.to_string());
    if let (Some(certificate), Some(key)) = (certificate, key) {
        set(pem_or_path(&certificate, "ssl.certificate"), certificate);
        set(pem_or_path(&key, "ssl.key"), key);
    }
    if let Some(ca) = ca {
        set(pem_or_path(&ca, "ssl.ca"), ca);
    }
    let password = passphrase.map(str::to_owned);
    match pfx {
        Some(pfx) => {
            set("ssl.keystore.location", pfx.to_owned());
            set("ssl.keystore.password", password.unwrap_or_default());
        }
        None => password
            .into_iter()
            .for_each(|it| set("ssl.key.password", it)),
    }
    for (name, value) in [
        ("ssl.cipher.suites", ciphers),
        ("ssl.curves.list", curves.map(str::to_owned)),
        ("ssl.sigalgs.list", sigalgs.map(str::to_owned)),
        ("ssl.crl.location", crl.map(str::to_owned)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            set(name, value);
        }
    }
    Ok(())
}

fn warn_without_effect(section: &Section<'_>, warnings: &mut Vec<String>) {
    for option in WITHOUT_EFFECT {
        if *section.get(option) != Value::Missing {
            warnings.push(format!(
                "option '{}' has no effect: librdkafka negotiates it itself",
                section.name(option)
            ));
        }
    }
}

fn check_pair(certificate: Option<&String>, key: Option<&String>) -> Result<()> {
    match (certificate, key) {
        (Some(_), None) => Err(OptionError::new(
            "ssl.key",
            "is missing: ssl.cert needs its key",
        )),
        (None, Some(_)) => Err(OptionError::new(
            "ssl.cert",
            "is missing: ssl.key needs its certificate",
        )),
        _ => Ok(()),
    }
}

/// In no-kafka's order: files, strings, the `_STR` environment (which wins over `cert` and `key`),
/// then `cert` and `key`, then the environment's paths.
fn certificate_and_key(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Option<String>, Option<String>)> {
    let pairs = [
        (
            material(section, "certFile")?,
            material(section, "keyFile")?,
        ),
        (material(section, "certStr")?, material(section, "keyStr")?),
        (
            environment("KAFKA_CLIENT_CERT_STR"),
            environment("KAFKA_CLIENT_CERT_KEY_STR"),
        ),
    ];
    let explicit = (material(section, "cert")?, material(section, "key")?);
    for pair in pairs {
        if pair.0.is_some() && pair.1.is_some() {
            return Ok(pair);
        }
    }
    Ok((
        explicit.0.or_else(|| environment("KAFKA_CLIENT_CERT")),
        explicit.1.or_else(|| environment("KAFKA_CLIENT_CERT_KEY")),
    ))
}

/// PEM text or a file's path, given as a string, a Buffer or an array of them.
fn material(section: &Section<'_>, key: &'static str) -> Result<Option<String>> {
    fn text(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
            Value::Array(parts) => Some(
                parts
                    .iter()
                    .map(text)
                    .collect::<Option<Vec<_>>>()?
                    .join("\n"),
            ),
            _ => None,
        }
    }
    match section.get(key) {
        Value::Missing => Ok(None),
        value => match text(value) {
            Some(text) if text.trim().is_empty() => Ok(None),
            Some(text) => check_readable(section, key, &text).map(|()| Some(text)),
            None => Err(section.wrong(key, "PEM text or a file's path, as a string or a Buffer")),
        },
    }
}

/// What is no PEM text is a path. A key's is not shown: it may be a key that lost its first line.
fn check_readable(section: &Section<'_>, key: &'static str, material: &str) -> Result<()> {
    if material.contains(PEM) {
        return Ok(());
    }
    std::fs::File::open(material).map(drop).map_err(|error| {
        let takes = format!("PEM text or the path of a file that can be read ({error})");
        section.wrong(key, &takes)
    })
}

fn pem_or_path(material: &str, property: &str) -> &'static str {
    let pem = material.contains(PEM);
    match (property, pem) {
        ("ssl.certificate", true) => "ssl.certificate.pem",
        ("ssl.certificate", false) => "ssl.certificate.location",
        ("ssl.key", true) => "ssl.key.pem",
        ("ssl.key", false) => "ssl.key.location",
        (_, true) => "ssl.ca.pem",
        (_, false) => "ssl.ca.location",
    }
}

/// Node's lists may name TLS 1.3 suites, which OpenSSL's list for TLS 1.2 refuses and which are
/// negotiated in any case.
fn tls12_ciphers(list: &str) -> String {
    list.split(':')
        .filter(|name| !name.starts_with("TLS_"))
        .collect::<Vec<_>>()
        .join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is there when tests run: the manifest.
    const KEY_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn properties(
        ssl: &[(&str, Value)],
        environment: &[(&str, &str)],
        scheme: bool,
    ) -> Result<Properties> {
        let value = Value::Object(
            ssl.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        );
        let mut properties = Vec::new();
        let get = |name: &str| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        read(
            &Section::new("ssl", &value)?,
            &get,
            scheme,
            &mut properties,
            &mut Vec::new(),
        )?;
        Ok(properties)
    }

    fn get<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
        properties
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn tls_is_off_unless_asked_for() {
        assert!(
            properties(&[("rejectUnauthorized", Value::Boolean(true))], &[], false)
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            get(&properties(&[], &[], true).unwrap(), "security.protocol"),
            Some("ssl")
        );
    }

    #[test]
    fn pem_or_path_from_options_or_environment() {
        let pem = "-----BEGIN CERTIFICATE-----\nx";
        let ssl = [
            ("cert", Value::Bytes(pem.into())),
            ("key", Value::String(KEY_PATH.into())),
            (
                "ca",
                Value::Array(vec![Value::String(pem.into()), Value::String(pem.into())]),
            ),
        ];
        let set = properties(&ssl, &[("KAFKA_CLIENT_CA", "/ignored")], false).unwrap();
        assert_eq!(get(&set, "ssl.certificate.pem"), Some(pem));
        assert_eq!(get(&set, "ssl.key.location"), Some(KEY_PATH));
        assert_eq!(
            get(&set, "ssl.ca.pem"),
            Some(format!("{pem}\n{pem}").as_str())
        );
        assert_eq!(
            get(&set, "enable.ssl.certificate.verification"),
            Some("false")
        );

        let environment = [
            ("KAFKA_CLIENT_CERT_STR", pem),
            ("KAFKA_CLIENT_CERT_KEY_STR", "-----BEGIN PRIVATE KEY-----"),
        ];
        let set = properties(&ssl, &environment, false).unwrap();
        assert_eq!(
            get(&set, "ssl.key.pem"),
            Some("-----BEGIN PRIVATE KEY-----")
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named_unless_it_is_a_key() {
        let missing = |name| [(name, Value::String("/nowhere/s3cret".into()))];
        let error = properties(&missing("ca"), &[], false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("'ssl.ca'") && error.contains("/nowhere/s3cret"),
            "{error}"
        );
        let error = properties(&missing("key"), &[], false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("'ssl.key'") && !error.contains("s3cret"),
            "{error}"
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let error =
            properties(&[("cert", Value::String(KEY_PATH.into()))], &[], false).unwrap_err();
        assert_eq!(error.name, "ssl.key");
        let error = properties(&[("key", Value::Number(1.0))], &[], false).unwrap_err();
        assert!(!error.to_string().contains('1'), "{error}");
    }
}
