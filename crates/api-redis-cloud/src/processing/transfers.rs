//! Datasets that travel: backups by request, imports, and how they went (specification §10.6, §10.7).

use pilothouse_control::{Processed, RequestOptions, TransferRequest};
use pilothouse_model::{Location, Secret, TransferKind, TransferPhase, TransferStatus};
use serde::Deserialize;
use serde_json::json;

use super::databases::{answer, locate, locate_active};
use super::subscriptions::{find, find_active};
use super::{Outcome, Task};
use crate::error::TaskError;
use crate::translate::{database as asked, time};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackupRequest {
    adhoc_backup_path: Option<String>,
    region_name: Option<String>,
}

pub(super) async fn backup(task: &Task<'_>) -> Outcome {
    let request: BackupRequest = task.typed()?;
    refuse_region(request.region_name.as_deref())?;
    let (_, view) = locate_active(task)?;
    let location = match (request.adhoc_backup_path, &view.database.spec.backup) {
        (Some(path), _) => asked::location(&path, task.app.control())?,
        (None, Some(schedule)) if schedule.enabled => schedule.location.clone(),
        (None, Some(_)) => {
            return Err(TaskError::new(
                "DATABASE_BACKUP_DISABLED",
                "backups of this database are off",
            ));
        }
        (None, None) => {
            let why = "no backup path is configured and none was given";
            return Err(TaskError::new("DATABASE_BACKUP_NOT_CONFIGURED", why));
        }
    };
    let command = TransferRequest {
        locations: vec![location],
        skip_size_check: false,
    };
    let caller = task.settling(answer(task));
    task.app
        .control()
        .export_database(&caller, view.database.id, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

fn refuse_region(name: Option<&str>) -> Result<(), TaskError> {
    match name {
        Some(_) => Err(TaskError::new(
            "BACKUP_REGION_NAME_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        )),
        None => Ok(()),
    }
}

pub(super) fn backup_status(task: &Task<'_>) -> Outcome {
    let request: BackupRequest = task.typed()?;
    refuse_region(request.region_name.as_deref())?;
    let found = find(task)?;
    let view = locate(task, &found)?;
    let transfers = [TransferKind::Export, TransferKind::Backup];
    let last = transfers
        .into_iter()
        .filter_map(|kind| view.database.transfer(kind))
        .max_by_key(|transfer| transfer.status.started_at);
    let resource = last.map_or_else(
        || json!({}),
        |last| {
            let mut shown =
                json!({ "lastBackupTime": time::millis(last.status.ended_at.unwrap_or(last.status.started_at)) });
            let (word, reason) = transfer_words(&last.status, "in-progress");
            shown["status"] = json!(word);
            if let Some(reason) = reason {
                shown["failureReason"] = json!(reason);
            }
            shown
        },
    );
    Ok(Processed::Answered(
        json!({ "resourceId": task.database, "additionalResourceId": task.subscription, "resource": resource }),
    ))
}

fn transfer_words(status: &TransferStatus, running: &'static str) -> (&'static str, Option<String>) {
    match status.phase {
        TransferPhase::Waiting | TransferPhase::Running => (running, None),
        TransferPhase::Succeeded => ("success", None),
        TransferPhase::Failed => ("failed", status.failure.as_ref().map(|(_, sentence)| sentence.clone())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportRequest {
    source_type: Option<String>,
    #[serde(default)]
    import_from_uri: Vec<String>,
}

pub(super) async fn import(task: &Task<'_>) -> Outcome {
    let request: ImportRequest = task.typed()?;
    let (_, view) = locate_active(task)?;
    let control = task.app.control();
    let [uri] = request.import_from_uri.as_slice() else {
        let code = if request.import_from_uri.is_empty() {
            "DATABASE_IMPORT_URI_NOT_PROVIDED"
        } else {
            "DATABASE_IMPORT_NOT_ALLOWED"
        };
        return Err(TaskError::new(code, "exactly one file can be imported into one shard"));
    };
    let url = || Location::Url {
        url: control.seal(&Secret::new(uri.as_str())),
        shown: asked::without_login(uri),
    };
    let location = match request.source_type.as_deref() {
        Some("http") if uri.starts_with("http://") || uri.starts_with("https://") => url(),
        Some("http") => {
            return Err(TaskError::new(
                "DATABASE_IMPORT_HTTP_BAD_URI",
                "an http source reads http://… or https://…",
            ));
        }
        Some("ftp") if uri.starts_with("ftp://") => url(),
        Some("ftp") => {
            return Err(TaskError::new(
                "DATABASE_IMPORT_FTP_BAD_URI",
                "an ftp source reads ftp://…",
            ));
        }
        Some("aws-s3") if uri.starts_with("s3://") => {
            asked::bucket(uri, control).map_err(|why| TaskError::new("DATABASE_IMPORT_S3_BAD_URI", why))?
        }
        Some("aws-s3") => {
            return Err(TaskError::new(
                "DATABASE_IMPORT_S3_BAD_URI",
                "an aws-s3 source reads s3://BUCKET/KEY",
            ));
        }
        _ if uri.starts_with("file://") => Location::Directory {
            path: uri.trim_start_matches("file://").into(),
        },
        _ => {
            return Err(TaskError::new(
                "DATABASE_INVALID_IMPORT_SOURCE_TYPE",
                "files are imported from http, ftp, aws-s3 and file locations here",
            ));
        }
    };
    let command = TransferRequest {
        locations: vec![location],
        skip_size_check: false,
    };
    let caller = task.settling(answer(task));
    control
        .import_database(&caller, view.database.id, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

pub(super) fn import_status(task: &Task<'_>) -> Outcome {
    let found = find_active(task)?;
    let view = locate(task, &found)?;
    let resource = view.database.transfer(TransferKind::Import).map_or_else(|| json!({}), |last| {
        let (word, reason) = transfer_words(&last.status, "importing");
        let mut shown = json!({ "status": word, "lastImportTime": time::millis(last.status.ended_at.unwrap_or(last.status.started_at)) });
        if let Some(reason) = reason {
            shown["failureReason"] = json!(reason);
        }
        shown
    });
    Ok(Processed::Answered(
        json!({ "resourceId": task.database, "additionalResourceId": task.subscription, "resource": resource }),
    ))
}
