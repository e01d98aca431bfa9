//! The user's options as plain data, and the reader that checks them.
//!
//! The reader names an option by its path (`batch.size`), remembers which names were asked for, and
//! so knows the unknown ones. Secrets never reach a message: see [`shown`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

/// A JavaScript value, copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `undefined`, `null`, or not there.
    Missing,
    Boolean(bool),
    Number(f64),
    String(String),
    Bytes(Vec<u8>),
    Function,
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
    /// Anything else, by the name of its type.
    Other(&'static str),
}

/// A wrong option: its name, what it got and what it takes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("KafkaPublisher option '{name}' {problem}")]
pub struct OptionError {
    pub name: String,
    pub problem: String,
}

impl OptionError {
    pub fn new(name: impl Into<String>, problem: impl Into<String>) -> Self {
        OptionError {
            name: name.into(),
            problem: problem.into(),
        }
    }
}

pub type Result<T> = std::result::Result<T, OptionError>;

/// Words in the name of an option or property whose value is a secret.
const SECRET_WORDS: [&str; 9] = [
    "password",
    "passphrase",
    "secret",
    "key",
    "pem",
    "jaas",
    "token",
    "pfx",
    "credential",
];

/// Whether the value of this option may not be shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // What librdkafka calls a key's location or type is no secret, but sasl.oauthbearer.config is.
    name == "sasl.oauthbearer.config"
        || SECRET_WORDS.iter().any(|word| name.contains(word)) && name != "keyencoding"
}

/// The value as an error shows it.
fn shown(name: &str, value: &Value) -> String {
    if is_secret(name) && !matches!(value, Value::Missing) {
        return "a value that is not shown".into();
    }
    match value {
        Value::String(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Missing => f.write_str("nothing"),
            Value::Boolean(value) => value.fmt(f),
            Value::Number(value) => value.fmt(f),
            Value::String(value) => write!(f, "{value:?}"),
            Value::Bytes(_) => f.write_str("a Buffer"),
            Value::Function => f.write_str("a function"),
            Value::Array(_) => f.write_str("an array"),
            Value::Object(_) => f.write_str("an object"),
            Value::Other(kind) => f.write_str(kind),
        }
    }
}

/// An object of options, at `path`.
pub struct Section<'a> {
    path: String,
    entries: &'a [(String, Value)],
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    /// # Errors
    /// When `value` is neither an object nor missing.
    pub fn new(path: &str, value: &'a Value) -> Result<Self> {
        let entries = match value {
            Value::Object(entries) => entries.as_slice(),
            Value::Missing => &[],
            other => {
                let name = if path.is_empty() { "options" } else { path };
                return Err(OptionError::new(
                    name,
                    format!("got {other}; it takes an object"),
                ));
            }
        };
        Ok(Section {
            path: path.to_owned(),
            entries,
            known: RefCell::default(),
        })
    }

    /// The option's full name.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub fn get(&self, key: &'static str) -> &'a Value {
        self.known.borrow_mut().insert(key);
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map_or(&Value::Missing, |(_, value)| value)
    }

    pub fn entries(&self) -> &'a [(String, Value)] {
        self.entries
    }

    pub fn section(&self, key: &'static str) -> Result<Section<'a>> {
        Section::new(&self.name(key), self.get(key))
    }

    pub fn wrong(&self, key: &'static str, takes: &str) -> OptionError {
        let name = self.name(key);
        let got = shown(&name, self.get(key));
        OptionError::new(name, format!("got {got}; it takes {takes}"))
    }

    pub fn boolean(&self, key: &'static str) -> Result<Option<bool>> {
        match self.get(key) {
            Value::Missing => Ok(None),
            Value::Boolean(value) => Ok(Some(*value)),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    pub fn string(&self, key: &'static str, takes: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            Value::Missing => Ok(None),
            Value::String(value) => Ok(Some(value)),
            _ => Err(self.wrong(key, takes)),
        }
    }

    /// A whole number in `range`; `unit` completes the error message ("milliseconds").
    pub fn integer(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
        unit: &str,
    ) -> Result<Option<i64>> {
        match self.get(key) {
            Value::Missing => Ok(None),
            Value::Number(value) if value.fract() == 0.0 && range.contains(&(*value as i64)) => {
                Ok(Some(*value as i64))
            }
            _ => Err(self.wrong(key, &takes_number("a whole number", &range, unit))),
        }
    }

    /// Like [`Section::integer`], for what may have a fraction.
    pub fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
        unit: &str,
    ) -> Result<Option<f64>> {
        match self.get(key) {
            Value::Missing => Ok(None),
            Value::Number(value)
                if *value >= *range.start() as f64 && *value <= *range.end() as f64 =>
            {
                Ok(Some(*value))
            }
            _ => Err(self.wrong(key, &takes_number("a number", &range, unit))),
        }
    }

    /// Warns of every option that nobody asked for.
    pub fn warn_unknown(&self, warnings: &mut Vec<String>) {
        let known = self.known.borrow();
        for (key, value) in self.entries {
            if known.contains(key.as_str()) || *value == Value::Missing {
                continue;
            }
            let nearest = known
                .iter()
                .map(|name| {
                    (
                        strsim::damerau_levenshtein(&name.to_lowercase(), &key.to_lowercase()),
                        name,
                    )
                })
                .min()
                .filter(|(distance, _)| *distance <= 1 + key.len() / 3);
            let hint = nearest.map_or(String::new(), |(_, name)| {
                format!("; did you mean '{}'?", self.name(name))
            });
            warnings.push(format!(
                "unknown option '{}' is ignored{hint}",
                self.name(key)
            ));
        }
    }
}

fn takes_number(kind: &str, range: &RangeInclusive<i64>, unit: &str) -> String {
    let (from, to) = (range.start(), range.end());
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" of {unit}")
    };
    if *to == i64::MAX {
        format!("{kind}{unit}, {from} or more")
    } else {
        format!("{kind}{unit} from {from} to {to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(entries: &[(&str, Value)]) -> Value {
        Value::Object(
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn errors_name_option_value_and_what_it_takes() {
        let value = object(&[
            ("size", Value::String("big".into())),
            ("wait", Value::Number(-1.0)),
        ]);
        let section = Section::new("batch", &value).unwrap();
        assert_eq!(
            section
                .integer("size", 0..=i64::MAX, "bytes")
                .unwrap_err()
                .to_string(),
            "KafkaPublisher option 'batch.size' got \"big\"; it takes a whole number of bytes, 0 or more"
        );
        assert_eq!(
            section
                .number("wait", 0..=900_000, "milliseconds")
                .unwrap_err()
                .to_string(),
            "KafkaPublisher option 'batch.wait' got -1; it takes a number of milliseconds from 0 to 900000"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let value = object(&[
            ("key", Value::Number(42.0)),
            ("passphrase", Value::Boolean(true)),
        ]);
        let section = Section::new("ssl", &value).unwrap();
        let error = section
            .string("key", "PEM text or a file's path")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ssl.key") && !error.contains("42"),
            "{error}"
        );
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
        ] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("linger.ms") && !is_secret("keyEncoding"));
    }

    #[test]
    fn unknown_options_are_warned_about_with_the_nearest_name() {
        let value = object(&[
            ("defaultTopc", Value::Boolean(true)),
            ("zzz", Value::Number(1.0)),
        ]);
        let section = Section::new("", &value).unwrap();
        section.get("defaultTopic");
        section.get("batch");
        let mut warnings = Vec::new();
        section.warn_unknown(&mut warnings);
        assert_eq!(
            warnings,
            [
                "unknown option 'defaultTopc' is ignored; did you mean 'defaultTopic'?",
                "unknown option 'zzz' is ignored"
            ]
        );
    }
}
