//! Locations: where datasets are written to and read from.

use std::path::PathBuf;

use pilothouse_model::{BucketName, Location, ObjectPath, S3Access, Secret};
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
const ABSENT: &[&str] = &["sftp", "gs", "abs", "swift", "azure", "google"];
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
            "s3" => s3(value, field, purpose, core, present),
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

/// The region when nobody names one.
const S3_REGION: &str = "us-east-1";

/// An object or a part of a bucket. With a key of its own at the service that the cluster's `s3_url` names, else at Amazon's; without one
/// the bucket is one of the configuration's.
fn s3(
    value: &Value,
    field: &str,
    purpose: Purpose,
    core: &dyn Core,
    present: Option<&Location>,
) -> Result<Location, Failure> {
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) if !text.chars().any(char::is_control) => Ok(text.as_str()),
        Some(_) => Err(Failure::invalid_schema(format!("{field}: {key} must be a plain text"))),
    };
    let bucket = BucketName::parse(text("bucket_name")?)
        .map_err(|error| Failure::invalid_schema(format!("{field}: bucket_name {error}")))?;
    let directory = text("subdir")?.trim_matches('/');
    let path = match (purpose, text("filename")?) {
        (Purpose::Write, _) => directory.to_owned(),
        (Purpose::Read, "") => return Err(Failure::invalid_schema(format!("{field} needs filename"))),
        (Purpose::Read, file) => format!("{directory}/{file}").trim_start_matches('/').to_owned(),
    };
    let path = ObjectPath::parse(path)
        .map_err(|error| Failure::invalid_schema(format!("{field}: subdir and filename {error}")))?;
    let (access_key, secret) = (text("access_key_id")?, text("secret_access_key")?);
    if access_key.is_empty() {
        return if core.has_bucket(&bucket) {
            let access = None;
            Ok(Location::S3 { bucket, path, access })
        } else {
            let why = format!("{field} needs access_key_id: no such bucket is configured");
            Err(Failure::invalid_schema(why))
        };
    }
    let region = Some(text("region_name")?).filter(|name| !name.is_empty());
    let region = region.unwrap_or(S3_REGION);
    let before = match present {
        Some(Location::S3 {
            access: Some(access), ..
        }) if access.access_key == access_key => Some(&access.secret_key),
        _ => None,
    };
    // A secret is not shown, so whoever sends back what he was shown sends none.
    let secret_key = match before {
        Some(before) if secret.is_empty() || core.open(before)?.expose() == secret => before.clone(),
        _ if secret.is_empty() => return Err(Failure::invalid_schema(format!("{field} needs secret_access_key"))),
        _ => core.seal(&Secret::new(secret)),
    };
    let access = Some(S3Access {
        endpoint: core
            .s3_url()
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
        region: region.to_owned(),
        access_key: access_key.to_owned(),
        secret_key,
    });
    Ok(Location::S3 { bucket, path, access })
}

/// A location as it is shown: without credentials.
pub(super) fn show(location: &Location) -> Value {
    match location {
        Location::Directory { path } => json!({"type": "mount_point", "path": path}),
        Location::Url { shown, .. } => json!({"type": "url", "url": shown}),
        Location::S3 { bucket, path, access } => {
            let mut shown = json!({"type": "s3", "bucket_name": bucket, "subdir": path});
            if let Some(access) = access {
                shown["access_key_id"] = json!(access.access_key);
                shown["secret_access_key"] = json!("");
                shown["region_name"] = json!(access.region);
            }
            shown
        }
    }
}
