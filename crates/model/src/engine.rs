//! Which database product, and which version of it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A database product that a driver can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// `redis-server`.
    Redis,
    /// `valkey-server`.
    Valkey,
}

impl EngineKind {
    /// Every product, in the order of preference when a request leaves the choice open.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// The word used in configuration and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not `MAJOR.MINOR.PATCH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of the form MAJOR.MINOR.PATCH")]
pub struct VersionError(String);

/// `MAJOR.MINOR.PATCH` of a product. Ordered by number, not by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineVersion {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

impl EngineVersion {
    /// A version from its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// `MAJOR.MINOR.PATCH`, as [`fmt::Display`] shows it.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let mut numbers = text.split('.').map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or_else(error);
        let version = Self::new(next()?, next()?, next()?);
        if numbers.next().is_some() {
            Err(error())
        } else {
            Ok(version)
        }
    }

    /// `MAJOR.MINOR`: the series, which is what several APIs call the version.
    pub fn series(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl TryFrom<String> for EngineVersion {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}

impl From<EngineVersion> for String {
    fn from(version: EngineVersion) -> String {
        version.to_string()
    }
}

/// A server binary that was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledEngine {
    /// Which product.
    pub kind: EngineKind,
    /// The version that the binary reports of itself.
    pub version: EngineVersion,
    /// The version of the Redis protocol and command set that it is compatible with; differs from `version` for Valkey.
    pub compatible: EngineVersion,
    /// The binary, absolute.
    pub binary: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number() {
        let parse = |text| EngineVersion::parse(text).unwrap();
        assert!(parse("7.0.15") > parse("7.0.9"));
        assert_eq!(parse("7.2.4").series(), "7.2");
        for bad in ["7", "7.0", "7.0.x", "7.0.0.1", "", "-1.0.0"] {
            assert!(EngineVersion::parse(bad).is_err(), "{bad}");
        }
    }
}
