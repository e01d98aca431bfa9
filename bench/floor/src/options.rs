//! The arguments.

use std::collections::HashMap;

pub struct Message {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

pub struct Options {
    pub topic: String,
    pub count: usize,
    pub warm_up: usize,
    pub messages: Vec<Message>,
    /// By librdkafka's own names.
    pub properties: HashMap<String, String>,
}

impl Options {
    /// `topic`, `count`, `warmUp` and `file` are for this program, all others for librdkafka.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut properties = HashMap::new();
        for argument in arguments {
            let (name, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("'{argument}' is not name=value"))?;
            properties.insert(name.to_owned(), value.to_owned());
        }
        let mut take = |name: &str| {
            properties
                .remove(name)
                .ok_or_else(|| format!("{name} is missing"))
        };
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        let file = take("file")?;
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        Ok(Options {
            topic: take("topic")?,
            count: number(take("count")?)?,
            warm_up: number(take("warmUp")?)?,
            messages: text.lines().filter_map(Message::read).collect(),
            properties,
        })
    }
}

impl Message {
    fn read(line: &str) -> Option<Self> {
        let (key, value) = line.split_once('\t')?;
        Some(Message {
            key: key.into(),
            value: value.into(),
        })
    }
}
