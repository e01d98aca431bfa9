//! The arguments of `MockCluster`'s methods, checked.

use std::ops::RangeInclusive;

use napi::bindgen_prelude::{Error, Result, Unknown};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::names;
use crate::edge::value;
use crate::message::is_topic_name;
use crate::options::Value;

/// One call, by the name of its method, which every error begins with.
#[derive(Clone, Copy)]
pub struct Call(pub &'static str);

impl Call {
    pub fn wrong(self, argument: &str, got: &Value, takes: &str) -> Error {
        let call = self.0;
        Error::from_reason(format!("{call}: '{argument}' got {got}; it takes {takes}"))
    }

    /// What the cluster refused.
    pub fn failed(self, error: &KafkaError) -> Error {
        let reason = match error {
            KafkaError::MockCluster(code) => names::describe(*code),
            other => other.to_string(),
        };
        Error::from_reason(format!("{}: {reason}", self.0))
    }

    /// The values of these options, in this order. Others are a mistake.
    pub fn options<const N: usize>(
        self,
        options: Unknown<'_>,
        names: [&str; N],
    ) -> Result<[Value; N]> {
        let entries = match value::from_js(options)? {
            Value::Missing => Vec::new(),
            Value::Object(entries) => entries,
            other => return Err(self.wrong("options", &other, "an object")),
        };
        let mut values = names.map(|_| Value::Missing);
        for (name, value) in entries {
            let known = names.iter().zip(&mut values);
            match known.into_iter().find(|(known, _)| **known == name) {
                Some((_, place)) => *place = value,
                None => {
                    let takes = names.join(" and ");
                    let got = format!("{}: unknown option '{name}'; it takes {takes}", self.0);
                    return Err(Error::from_reason(got));
                }
            }
        }
        Ok(values)
    }

    /// A whole number, if there is any.
    pub fn integer(
        self,
        argument: &str,
        got: &Value,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>> {
        match got {
            Value::Missing => Ok(None),
            got => self.required(argument, got, range).map(Some),
        }
    }

    pub fn required(self, argument: &str, got: &Value, range: RangeInclusive<i64>) -> Result<i64> {
        match got {
            Value::Number(number) if number.fract() == 0.0 && range.contains(&(*number as i64)) => {
                Ok(*number as i64)
            }
            got => {
                let takes = format!("a whole number from {} to {}", range.start(), range.end());
                Err(self.wrong(argument, got, &takes))
            }
        }
    }

    pub fn topic(self, topic: Unknown<'_>) -> Result<String> {
        match value::from_js(topic)? {
            Value::String(name) if is_topic_name(&name) => Ok(name),
            got => {
                let takes = "1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', \
                             but not '.' or '..'";
                Err(self.wrong("topic", &got, takes))
            }
        }
    }

    pub fn api(self, api: Unknown<'_>) -> Result<RDKafkaApiKey> {
        let got = value::from_js(api)?;
        let is_meant = |(name, key): &(&str, RDKafkaApiKey)| match &got {
            Value::String(text) => text == name,
            Value::Number(number) => *number == f64::from(i16::from(*key)),
            _ => false,
        };
        if let Some((_, key)) = names::APIS.iter().find(|api| is_meant(api)) {
            return Ok(*key);
        }
        if is_meant(&names::METADATA) {
            let call = self.0;
            return Err(Error::from_reason(format!(
                "{call}: Metadata requests can't be made to fail; use setTopicError() or brokerDown()"
            )));
        }
        let known = names::APIS.map(|(name, _)| name).join(", ");
        Err(self.wrong("api", &got, &format!("one of {known}, or its number")))
    }

    pub fn error(self, argument: &str, got: &Value) -> Result<RDKafkaRespErr> {
        let (error, hint) = match got {
            Value::String(name) => (names::error_by_name(name), names::nearest_error(name)),
            Value::Number(number) if number.fract() == 0.0 => {
                (names::error_by_code(*number as i64), None)
            }
            _ => (None, None),
        };
        error.ok_or_else(|| {
            let hint = hint.map_or(String::new(), |name| format!("; did you mean '{name}'?"));
            let takes = "the name or number of an error of Kafka's protocol, such as \
                         'MESSAGE_TOO_LARGE' or 10";
            self.wrong(argument, got, &format!("{takes}{hint}"))
        })
    }
}
