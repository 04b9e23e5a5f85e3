//! Reads the text of `INFO`.

use std::collections::BTreeMap;
use std::time::Duration;

use pilothouse_engine::{EngineError, Reply};

use crate::error;

/// The lines of an `INFO` by name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Info(BTreeMap<String, String>);

impl Info {
    /// From the reply to `INFO`.
    pub(crate) fn from_reply(reply: &Reply) -> Result<Self, EngineError> {
        match reply {
            Reply::Error(text) => Err(error::from_server(text)),
            Reply::Bulk(bytes) => Ok(Self::parse(&String::from_utf8_lossy(bytes))),
            _ => Err(error::unexpected("INFO")),
        }
    }

    /// From the text itself. Lines that are not `name:value` are headings.
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
                .collect(),
        )
    }

    /// The value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of that name when it is a number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.get(name)?.parse().ok()
    }

    /// Whether the value of that name is `1`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// The value of that name when it is a number of seconds that is not negative.
    pub(crate) fn seconds(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_secs)
    }

    /// Every line.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sum of a field (`keys`, `expires`) over the numbered databases.
    pub(crate) fn keyspace(&self, field: &str) -> u64 {
        self.iter()
            .filter(|(name, _)| {
                name.strip_prefix("db")
                    .is_some_and(|number| number.parse::<u32>().is_ok())
            })
            .filter_map(|(_, value)| fields(value).find(|(name, _)| *name == field))
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum()
    }

    /// Gives the lines away.
    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// The fields of a value such as `keys=3,expires=0`.
pub(crate) fn fields(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|field| field.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_headings_and_fields() {
        let info = Info::parse(
            "# Server\r\nredis_version:7.0.15\r\nempty:\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=5\r\ndb7:keys=2,expires=0\r\ndbx:keys=9\r\nneg:-1\r\n",
        );
        assert_eq!(info.get("redis_version"), Some("7.0.15"));
        assert_eq!(info.get("empty"), Some(""));
        assert_eq!(info.get("# Server"), None);
        assert_eq!(info.keyspace("keys"), 5);
        assert_eq!(info.keyspace("expires"), 1);
        assert_eq!(info.seconds("neg"), None);
    }
}
