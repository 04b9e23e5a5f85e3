//! Scheduled backups, and where they go.

use pilothouse_control::Control;
use pilothouse_model::{BackupSchedule, BucketName, Location, ObjectPath, Secret};

use crate::error::TaskError;
use crate::wire::database::{BackupInterval, DatabaseRequest, RemoteBackup};

const HOUR: u64 = 3600;

pub(super) fn backup(
    request: &DatabaseRequest,
    control: &Control,
    present: Option<BackupSchedule>,
) -> Result<Option<BackupSchedule>, TaskError> {
    match (&request.remote_backup, request.periodic_backup_path.as_deref()) {
        (Some(remote), Some(path)) if !path.is_empty() && remote.active == Some(true) => Err(TaskError::new(
            "DATABASE_INVALID_TOO_MANY_BACKUP_SPECIFICATIONS",
            "either remoteBackup or periodicBackupPath is given",
        )),
        (Some(remote), _) => remote_backup(remote, control, present),
        (None, Some("")) => Ok(None),
        (None, Some(path)) => Ok(Some(BackupSchedule {
            enabled: true,
            interval_seconds: 24 * HOUR,
            offset_seconds: 0,
            retention_days: 0,
            location: location(path, control)?,
        })),
        (None, None) => Ok(present),
    }
}

fn remote_backup(
    remote: &RemoteBackup,
    control: &Control,
    present: Option<BackupSchedule>,
) -> Result<Option<BackupSchedule>, TaskError> {
    if remote.active == Some(false) {
        return Ok(present.map(|schedule| BackupSchedule {
            enabled: false,
            ..schedule
        }));
    }
    let interval = remote
        .interval
        .ok_or_else(|| TaskError::new("DATABASE_INVALID_BACKUP_INTERVAL", "an active backup has an interval"))?;
    let path = remote
        .storage_path
        .as_deref()
        .ok_or_else(|| TaskError::new("DATABASE_INVALID_BACKUP_PATH", "an active backup has a storagePath"))?;
    let hours = match interval {
        BackupInterval::Every24Hours => 24,
        BackupInterval::Every12Hours => 12,
        BackupInterval::Every6Hours => 6,
        BackupInterval::Every4Hours => 4,
        BackupInterval::Every2Hours => 2,
        BackupInterval::EveryHour => 1,
    };
    let at = match remote.time_utc.as_deref() {
        None | Some("") => 0,
        Some(_) if hours < 12 => {
            return Err(TaskError::new(
                "DATABASE_INVALID_BACKUP_INTERVAL_AND_TIME_UTC_MISMATCH",
                "timeUTC goes with intervals of 12 and 24 hours",
            ));
        }
        Some(time) => time
            .strip_suffix(":00")
            .and_then(|hour| hour.parse::<u64>().ok())
            .filter(|hour| *hour < 24)
            .ok_or_else(|| TaskError::new("DATABASE_INVALID_BACKUP_TIME_UTC", "timeUTC reads HH:00"))?,
    };
    Ok(Some(BackupSchedule {
        enabled: true,
        interval_seconds: hours * HOUR,
        offset_seconds: (at % hours) * HOUR,
        retention_days: 0,
        location: location(path, control)?,
    }))
}

/// Where a backup goes: a directory of this machine, a server that speaks FTP, or a configured bucket.
pub(crate) fn location(path: &str, control: &Control) -> Result<Location, TaskError> {
    if let Some(directory) = path.strip_prefix("file://") {
        return Ok(Location::Directory { path: directory.into() });
    }
    if path.starts_with("ftp://") {
        return Ok(Location::Url {
            url: control.seal(&Secret::new(path)),
            shown: without_login(path),
        });
    }
    if path.starts_with("s3://") {
        return bucket(path, control).map_err(|why| TaskError::new("DATABASE_INVALID_BACKUP_PATH", why));
    }
    Err(TaskError::new(
        "DATABASE_INVALID_BACKUP_STORAGE_TYPE",
        "backups go to file://, ftp:// and s3:// locations here",
    ))
}

/// `s3://BUCKET/PATH` in a bucket of the configuration.
pub(crate) fn bucket(uri: &str, control: &Control) -> Result<Location, String> {
    let place = uri
        .strip_prefix("s3://")
        .ok_or("a bucket is named by s3://BUCKET/PATH")?;
    let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
    let bucket = BucketName::parse(bucket).map_err(|error| format!("the name of the bucket {error}"))?;
    let path = ObjectPath::parse(path.trim_matches('/')).map_err(|error| format!("the path in the bucket {error}"))?;
    control.configured_bucket(&bucket).map_err(|error| error.to_string())?;
    let access = None;
    Ok(Location::S3 { bucket, path, access })
}

/// The URL without user name and password.
pub(crate) fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}
