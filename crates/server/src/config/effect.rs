//! Keys that are known and that this version does not act on. Setting one is refused: a key that silently does nothing deceives. Pure.
//!
//! A key leaves this file in the change that gives it an effect.

use std::collections::BTreeMap;

use super::error::{ConfigError, Origin};
use super::raw::RawConfiguration;

/// Dialects that are not served yet: their section, which is also the name of their listener and certificate.
const NOT_SERVED: [&str; 3] = ["kvrocks_controller", "trove", "globo"];

/// Whether a listener of that name answers in this version.
pub fn is_served(listener: &str) -> bool {
    !NOT_SERVED.contains(&listener)
}

/// An error for every key that was set and has no effect.
pub(super) fn check(raw: &RawConfiguration, origins: &BTreeMap<String, Origin>) -> Vec<ConfigError> {
    origins
        .iter()
        .filter_map(|(key, origin)| {
            Some(ConfigError {
                origin: origin.clone(),
                key: key.clone(),
                problem: problem(raw, key)?,
            })
        })
        .collect()
}

fn problem(raw: &RawConfiguration, key: &str) -> Option<String> {
    let mut parts = key.split('.');
    let (section, name) = (parts.next()?, parts.next().unwrap_or_default());
    let unserved = |word: &str| !is_served(word);
    match (section, name) {
        ("engines", "warm") if raw.engines.warm != 0 => Some(
            "is not supported by this version, which keeps no servers ready ahead of demand; leave it out".to_owned(),
        ),
        ("endpoints", "address_pool") => Some(
            "has no effect in this version, in which every database has a port of its own; leave it out".to_owned(),
        ),
        ("listen", name) if unserved(name) && !is_off(raw, name) => {
            Some("belongs to an API that this version does not serve; leave it out, or set it to \"off\"".to_owned())
        }
        ("tls", name) | (name, _) if unserved(name) => {
            Some("belongs to an API that this version does not serve; leave it out".to_owned())
        }
        _ => None,
    }
}

fn is_off(raw: &RawConfiguration, listener: &str) -> bool {
    match listener {
        "kvrocks_controller" => raw.listen.kvrocks_controller == "off",
        "trove" => raw.listen.trove == ["off"],
        "globo" => raw.listen.globo == "off",
        _ => false,
    }
}
