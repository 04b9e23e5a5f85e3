//! Names with rules, checked once at birth. Sources of the limits are given at each type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("must have 1 to {max} characters, has {actual}")]
    Length {
        /// The longest allowed length in characters.
        max: usize,
        /// The length given.
        actual: usize,
    },
    /// A character outside the alphabet of this kind of name.
    #[error("must not contain {0:?}")]
    Character(char),
    /// The first or last character is not a letter or digit.
    #[error("must begin and end with a letter or a digit")]
    Edge,
    /// Parts between slashes that lead nowhere, or elsewhere.
    #[error("must have no slash at its ends and no part that is empty, . or ..")]
    Part,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($check:path)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it over.
            pub fn parse(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// Name of a [`crate::Database`]: what all five APIs can carry somewhere, 1 to 255 characters without control characters.
    /// Dialects are stricter where their own API is.
    DatabaseName(printable),
    /// Name of a [`crate::Tenant`]: 1 to 64 of `a–z A–Z 0–9 - _ .`, edges alphanumeric.
    TenantName(label),
    /// Name of a bucket of an S3-compatible service: 1 to 255 of `a–z A–Z 0–9 - _ .`, edges alphanumeric. Services are stricter.
    BucketName(bucket),
    /// A place in a bucket: up to 900 bytes without control characters, in parts between slashes. Empty is the bucket itself. The rest
    /// of the 1024 bytes that services take is for names of files.
    ObjectPath(object_path),
}

fn length(text: &str, max: usize) -> Result<(), NameError> {
    let actual = text.chars().count();
    if (1..=max).contains(&actual) {
        Ok(())
    } else {
        Err(NameError::Length { max, actual })
    }
}

fn printable(text: &str) -> Result<(), NameError> {
    length(text, 255)?;
    text.chars()
        .find(|c| c.is_control())
        .map_or(Ok(()), |c| Err(NameError::Character(c)))
}

fn label(text: &str) -> Result<(), NameError> {
    length(text, 64)?;
    plain(text)
}

fn bucket(text: &str) -> Result<(), NameError> {
    length(text, 255)?;
    plain(text)
}

fn object_path(text: &str) -> Result<(), NameError> {
    const MAX: usize = 900;
    if text.is_empty() {
        return Ok(());
    }
    if text.len() > MAX {
        return Err(NameError::Length {
            max: MAX,
            actual: text.len(),
        });
    }
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(NameError::Character(c));
    }
    // A URL with such a part names another object than the one that was meant.
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(NameError::Part);
    }
    Ok(())
}

fn plain(text: &str) -> Result<(), NameError> {
    if let Some(c) = text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        return Err(NameError::Character(c));
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if edge(text.chars().next()) && edge(text.chars().last()) {
        Ok(())
    } else {
        Err(NameError::Edge)
    }
}

/// One of the control-plane APIs through which the one truth is steered; also our own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The Redis Enterprise Software REST API.
    RedisEnterprise,
    /// The Redis Cloud REST API.
    RedisCloud,
    /// The Apache Kvrocks Controller HTTP API.
    KvrocksController,
    /// The OpenStack Trove database API.
    Trove,
    /// The Globo database-as-a-service API.
    Globo,
    /// Our own socket, used by `pilothouse db`.
    Local,
}

impl Dialect {
    /// The word used in configuration, events and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RedisEnterprise => "redis-enterprise",
            Self::RedisCloud => "redis-cloud",
            Self::KvrocksController => "kvrocks-controller",
            Self::Trove => "trove",
            Self::Globo => "globo",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_an_alphabet_and_edges() {
        for good in ["default", "a", "team-1", "a.b_c"] {
            assert!(TenantName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä", &"x".repeat(65)] {
            assert!(TenantName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn object_paths_name_what_they_say() {
        for good in ["", "a", "backups/orders 1/ü", "a.b/..c/d..", &"x".repeat(900)] {
            assert!(ObjectPath::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "/",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            ".",
            "..",
            "a/.",
            "a\nb",
            &"x".repeat(901),
        ] {
            assert!(ObjectPath::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "a/b", "-a", "a b"] {
            assert!(BucketName::parse(bad).is_err(), "{bad}");
        }
        assert!(BucketName::parse("my-backups.example_1").is_ok());
    }

    #[test]
    fn database_names_refuse_control_characters() {
        assert!(DatabaseName::parse("Zürich 1").is_ok());
        assert_eq!(DatabaseName::parse("a\nb"), Err(NameError::Character('\n')));
        assert_eq!(DatabaseName::parse(""), Err(NameError::Length { max: 255, actual: 0 }));
    }
}
