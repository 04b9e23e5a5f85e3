//! Locations: where datasets are written to and read from.

use std::path::PathBuf;

use pilothouse_model::{Location, Secret};
use serde_json::{Value, json};

use super::Core;
use crate::error::Failure;

/// What a location is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Backup and export.
    Write,
    /// Import.
    Read,
}

impl Purpose {
    const fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Write => &["ftp"],
            Self::Read => &["ftp", "http", "https"],
        }
    }
}

/// Types that the product knows and this installation does not offer.
const ABSENT: &[&str] = &["sftp", "s3", "gs", "abs", "swift", "azure", "google"];
/// Schemes that the product knows and this installation does not offer.
const ABSENT_SCHEMES: &[&str] = &["ftps", "sftp", "redis", "rediss", "s3", "http", "https"];

/// Reads a list of locations.
pub(crate) fn locations(
    list: &[Value],
    field: &str,
    purpose: Purpose,
    core: &dyn Core,
) -> Result<Vec<Location>, Failure> {
    if list.len() > 1 {
        let why = format!("{field}: a database of one shard is imported from one file, several cannot be merged here");
        return Err(Failure::not_acceptable("unsupported_location", why));
    }
    list.iter()
        .map(|value| parse(value, field, purpose, core, None))
        .collect()
}

/// Reads a location: an object with a `type`, or (quirk of one client) a path or URL as plain text. One that equals `present`, also in
/// the form without credentials in which it is shown, stays what it is.
pub(crate) fn parse(
    value: &Value,
    field: &str,
    purpose: Purpose,
    core: &dyn Core,
    present: Option<&Location>,
) -> Result<Location, Failure> {
    let text = |key: &str| {
        let found = value
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty() && !text.contains('\0'));
        found.ok_or_else(|| Failure::invalid_schema(format!("{field} needs {key}")))
    };
    match value {
        Value::String(path) if path.starts_with('/') => directory(path, field),
        Value::String(address) => url(address, field, purpose, core, present),
        Value::Object(_) => match text("type")? {
            "mount_point" => directory(text("path")?, field),
            "url" => url(text("url")?, field, purpose, core, present),
            absent if ABSENT.contains(&absent) => Err(unsupported(field, absent)),
            other => Err(Failure::invalid_schema(format!(
                "{field} has the unknown type {other:?}"
            ))),
        },
        _ => Err(Failure::invalid_schema(format!(
            "{field} must be an object with a type"
        ))),
    }
}

fn unsupported(field: &str, what: &str) -> Failure {
    Failure::not_acceptable(
        "unsupported_location",
        format!("{field}: {what} is not available on this cluster"),
    )
}

fn directory(path: &str, field: &str) -> Result<Location, Failure> {
    let path = PathBuf::from(path);
    let plain = path
        .components()
        .all(|part| !matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || !plain {
        return Err(Failure::invalid_schema(format!("{field} needs an absolute path")));
    }
    Ok(Location::Directory { path })
}

fn url(
    address: &str,
    field: &str,
    purpose: Purpose,
    core: &dyn Core,
    present: Option<&Location>,
) -> Result<Location, Failure> {
    let malformed = || Failure::invalid_schema(format!("{field} needs a URL with scheme and host"));
    let (scheme, rest) = address.split_once("://").ok_or_else(malformed)?;
    if !purpose.schemes().contains(&scheme) {
        return Err(if ABSENT_SCHEMES.contains(&scheme) {
            unsupported(field, scheme)
        } else {
            malformed()
        });
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || address.chars().any(|c| c.is_control() || c == ' ') {
        return Err(malformed());
    }
    let shown = format!("{scheme}://{host}{}", &rest[authority.len()..]);
    if let Some(present @ Location::Url { url, shown: before }) = present {
        let same = *before == address || core.open(url)?.expose() == address;
        if same {
            return Ok(present.clone());
        }
    }
    Ok(Location::Url {
        url: core.seal(&Secret::new(address)),
        shown,
    })
}

/// A location as it is shown: without credentials.
pub(super) fn show(location: &Location) -> Value {
    match location {
        Location::Directory { path } => json!({"type": "mount_point", "path": path}),
        Location::Url { shown, .. } => json!({"type": "url", "url": shown}),
    }
}
