//! From a line to a message.

use super::*;

/// The members of a line, as far as they are known.
#[derive(Default)]
struct Line<'a> {
    topic: Option<&'a RawValue>,
    key: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    timestamp: Option<i64>,
    key_encoding: Option<String>,
    value_encoding: Option<String>,
    queued: Option<i64>,
    partition: Option<i32>,
    headers: Option<&'a RawValue>,
    has_checksum: bool,
    /// 3.x: the value's JSON text, as a string.
    mesg_value: Option<String>,
    /// A member that this version can't honour.
    for_later: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Line<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Line<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Line<'de>, M::Error> {
        let mut line = Line::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "topic" => line.topic = Some(map.next_value()?),
                "key" => line.key = Some(map.next_value()?),
                "value" => line.value = Some(map.next_value()?),
                "timestamp" => line.timestamp = map.next_value()?,
                "keyEncoding" => line.key_encoding = Some(map.next_value()?),
                "valueEncoding" => line.value_encoding = Some(map.next_value()?),
                "queued" => line.queued = map.next_value()?,
                "partition" => line.partition = map.next_value()?,
                "headers" => line.headers = Some(map.next_value()?),
                "mesgValue" => line.mesg_value = Some(map.next_value()?),
                "crc32c" => {
                    map.next_value::<IgnoredAny>()?;
                    line.has_checksum = true;
                }
                "ackKey" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    line.for_later.get_or_insert_with(|| name.into_owned());
                }
            }
        }
        Ok(line)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The text of a JSON string.
fn text(json: &RawValue) -> Result<Cow<'_, str>, serde_json::Error> {
    let inner = json
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        _ => Ok(Cow::Owned(serde_json::from_str(json.get())?)),
    }
}

/// Reads a line of this version, of 0.1.x (which has no timestamp) or of 3.x (which has no key).
///
/// # Errors
/// Says why the line is no message; whoever reads it goes on with the next.
pub fn parse(line: &[u8]) -> Result<Message<'_>, Unreadable> {
    let line = line.trim_ascii();
    let checksum = checksum(line);
    if checksum == Checksum::Wrong {
        return Err(Unreadable::Damaged);
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    if line.has_checksum && checksum == Checksum::None {
        return Err(Unreadable::Damaged);
    }
    let topic = text(line.topic.ok_or(Unreadable::BadTopic)?)?;
    if !is_topic_name(&topic) {
        return Err(Unreadable::BadTopic);
    }
    // Without these it is no message in any version.
    let is_whole = (line.key.is_some() && line.value.is_some()) || line.mesg_value.is_some();
    if let Some(name) = line.for_later
        && is_whole
    {
        return Err(Unreadable::ForLater(name));
    }
    let (key, value) = match (line.mesg_value, line.value) {
        (Some(text), None) => (None, Some(Cow::Owned(text.into_bytes()))),
        (_, Some(value)) => {
            let key = line.key.ok_or(Unreadable::NoKey)?;
            (
                part("key", key, line.key_encoding.as_deref())?,
                part("value", value, line.value_encoding.as_deref())?,
            )
        }
        (None, None) => return Err(Unreadable::NoValue),
    };
    Ok(Message {
        topic,
        key,
        value,
        headers: match line.headers {
            Some(json) => parse_headers(json)?,
            None => Vec::new(),
        },
        partition: line.partition.filter(|partition| *partition >= 0),
        timestamp: line.timestamp,
        queued: line.queued,
    })
}

/// A key's or a value's bytes on the wire, if it has any.
fn part<'a>(
    name: &'static str,
    json: &'a RawValue,
    encoding: Option<&str>,
) -> Result<Option<Cow<'a, [u8]>>, Unreadable> {
    if json.get() == "null" {
        return Ok(None);
    }
    let bytes = match encoding {
        None | Some("json") => Cow::Borrowed(json.get().as_bytes()),
        Some("raw") => match text(json)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        Some("base64") => Cow::Owned(from_base64(name, &text(json)?)?),
        Some(other) => return Err(Unreadable::ForLater(format!("{name}Encoding: {other}"))),
    };
    Ok(Some(bytes))
}

fn from_base64(name: &'static str, text: &str) -> Result<Vec<u8>, Unreadable> {
    BASE64
        .decode(text)
        .map_err(|_| Unreadable::BadEncoding(name))
}

/// A header's name or value.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderText {
    Text(String),
    Bytes { base64: String },
}

impl HeaderText {
    fn bytes(self) -> Result<Vec<u8>, Unreadable> {
        match self {
            HeaderText::Text(text) => Ok(text.into_bytes()),
            HeaderText::Bytes { base64 } => from_base64("headers", &base64),
        }
    }
}

fn parse_headers(json: &RawValue) -> Result<Vec<u8>, Unreadable> {
    let list: Vec<(HeaderText, Option<HeaderText>)> = serde_json::from_str(json.get())
        .map_err(|error| Unreadable::BadHeaders(error.to_string()))?;
    let mut bytes = Vec::new();
    for (name, value) in list {
        let value = value.map(HeaderText::bytes).transpose()?;
        headers::append(&mut bytes, &name.bytes()?, value.as_deref());
    }
    Ok(bytes)
}
