//! `connectionString` and `brokerRedirection`: where the brokers are.

use std::collections::HashMap;

use super::value::{OptionError, Result, Section, Value};

/// Kafka's port, for a broker that is given without one.
const DEFAULT_PORT: u16 = 9092;

/// A broker's address. IPv6 hosts are without their brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `[scheme://][user@]host[:port][/path]`, and whether the scheme asks for TLS.
    pub fn parse(text: &str) -> Option<(Address, bool)> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (String::new(), text.strip_prefix("//").unwrap_or(text)),
        };
        if !scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'_' | b'-' | b'.'))
        {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next()?;
        let address = authority
            .rsplit_once('@')
            .map_or(authority, |(_, address)| address);
        let (host, port) = match address.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = port.map_or(Some(DEFAULT_PORT), |port| {
            port.parse().ok().filter(|port| *port > 0)
        })?;
        let is_host =
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '[' || c == ']');
        let tls = scheme
            .split(['+', '_'])
            .any(|part| part == "ssl" || part == "tls");
        is_host.then(|| {
            (
                Address {
                    host: host.to_ascii_lowercase(),
                    port,
                },
                tls,
            )
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The seed brokers of a comma list, and whether one of them asks for TLS.
pub fn parse_connection_string(
    section: &Section<'_>,
    key: &'static str,
) -> Result<(Vec<Address>, bool)> {
    const TAKES: &str = "a comma list of brokers, such as '127.0.0.1:9092,kafka2:9092'";
    let text = section.string(key, TAKES)?.unwrap_or_default();
    let mut tls = false;
    let mut brokers = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let (address, entry_tls) =
            Address::parse(entry).ok_or_else(|| section.wrong(key, TAKES))?;
        tls |= entry_tls;
        brokers.push(address);
    }
    if brokers.is_empty() {
        return Err(section.wrong(key, TAKES));
    }
    Ok((brokers, tls))
}

/// `brokerRedirection`: what a broker's address is replaced by before it is connected to.
#[derive(Clone, Debug, PartialEq)]
pub enum Redirection {
    None,
    Map(HashMap<Address, Address>),
    /// `(host, port) => ({ host, port })`, called on the JS thread.
    Function,
}

impl Redirection {
    pub fn read(section: &Section<'_>) -> Result<Self> {
        const KEY: &str = "brokerRedirection";
        match section.get(KEY) {
            Value::Missing | Value::Boolean(_) => Ok(Redirection::None),
            Value::Function => Ok(Redirection::Function),
            Value::Object(entries) => entries
                .iter()
                .map(|(from, to)| {
                    let address = |text: &str| Address::parse(text).map(|(address, _)| address);
                    let to = match to {
                        Value::String(to) => address(to),
                        _ => None,
                    };
                    address(from).zip(to).ok_or_else(|| {
                        OptionError::new(
                            KEY,
                            format!(
                                "has an entry '{from}' that does not map 'host:port' to 'host:port'"
                            ),
                        )
                    })
                })
                .collect::<Result<_>>()
                .map(Redirection::Map),
            _ => Err(section.wrong(
                KEY,
                "true, false, a function or an object of 'host:port' to 'host:port'",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_a_scheme() {
        for (text, expected, tls) in [
            ("127.0.0.1:9092", "127.0.0.1:9092", false),
            ("Kafka1", "kafka1:9092", false),
            ("kafka://h:1", "h:1", false),
            ("ssl://h:9093", "h:9093", true),
            ("kafka+ssl://h:9093", "h:9093", true),
            ("SASL_SSL://h:9093", "h:9093", true),
            ("plaintext://h:5", "h:5", false),
            ("//h:5", "h:5", false),
            ("kafka://u:p@h:9/path", "h:9", false),
            ("[::1]:9092", "[::1]:9092", false),
            ("[::1]", "[::1]:9092", false),
        ] {
            let (address, is_tls) = Address::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (address.to_string().as_str(), is_tls),
                (expected, tls),
                "{text}"
            );
        }
        for bad in [
            "", ":9092", "h:", "h:0", "h:99999", "h:x", "a b:1", "[::1", "h:1:2",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
