//! Backups on a schedule.

use pilothouse_api::JsonObject;
use pilothouse_model::{BackupSchedule, DatabaseSpec};
use serde_json::Value;

use super::location::{self, Purpose};
use super::{Body, Surroundings, random_below};
use crate::error::Failure;

/// Every how many seconds when nobody said.
pub(super) const DEFAULT_INTERVAL: u64 = 86_400;
/// What is kept in the document until there is a location to write to.
const KEPT: [&str; 3] = ["backup_interval", "backup_interval_offset", "backup_history"];

/// A schedule needs a location; without one its settings wait in the document.
pub(super) fn apply(
    body: &Body<'_>,
    around: &Surroundings<'_>,
    spec: &mut DatabaseSpec,
    document: &mut JsonObject,
) -> Result<(), Failure> {
    for name in KEPT {
        if let Some(value) = body.get(name) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    let kept = |name: &str| document.get(name).and_then(Value::as_u64);
    let present = spec.backup.take();
    let enabled = body
        .flag("backup")
        .unwrap_or(present.as_ref().is_some_and(|backup| backup.enabled));
    let interval = kept(KEPT[0]).or(present.as_ref().map(|backup| backup.interval_seconds));
    check_offset(body, interval.unwrap_or(DEFAULT_INTERVAL))?;
    let wanted = match body.get("backup_location") {
        Some(value) if value.as_object().is_some_and(JsonObject::is_empty) => None,
        Some(value) => {
            let before = present.as_ref().map(|backup| &backup.location);
            Some(location::parse(
                value,
                "backup_location",
                Purpose::Write,
                around.core,
                before,
            )?)
        }
        None => present.as_ref().map(|backup| backup.location.clone()),
    };
    if enabled && interval.is_none() {
        let why = "scheduled backups need backup_interval";
        return Err(Failure::not_acceptable("missing_backup_interval", why));
    }
    let Some(location) = wanted else {
        if enabled {
            let why = "scheduled backups need backup_location";
            return Err(Failure::not_acceptable("missing_backup_location", why));
        }
        return Ok(());
    };
    let interval_seconds = interval.unwrap_or(DEFAULT_INTERVAL);
    let chosen = kept(KEPT[1]).or(present.as_ref().map(|backup| backup.offset_seconds));
    let offset_seconds = chosen
        .filter(|offset| *offset < interval_seconds)
        .unwrap_or_else(|| random_below(around.core, interval_seconds));
    let days = kept(KEPT[2])
        .or(present.map(|backup| u64::from(backup.retention_days)))
        .unwrap_or(0);
    let retention_days = u32::try_from(days).unwrap_or(u32::MAX);
    spec.backup = Some(BackupSchedule {
        enabled,
        interval_seconds,
        offset_seconds,
        retention_days,
        location,
    });
    Ok(())
}

/// An offset is where in its interval a backup begins.
fn check_offset(body: &Body<'_>, interval_seconds: u64) -> Result<(), Failure> {
    if body.number(KEPT[1]).is_some_and(|offset| offset >= interval_seconds) {
        let why = "backup_interval_offset must be smaller than backup_interval";
        return Err(Failure::not_acceptable("invalid_configuration", why));
    }
    Ok(())
}
