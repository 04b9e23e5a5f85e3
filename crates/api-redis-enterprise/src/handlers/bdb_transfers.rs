//! Import and export of datasets, and the state of the last ones.

use pilothouse_api::JsonObject;
use pilothouse_control::{Accepted, TransferRequest};
use pilothouse_model::{DatabaseId, Location, Sealed, TransferKind};
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok_empty};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::mail;
use crate::translate::bdb::{IMPORT_SOURCES, Purpose, location, locations};

/// What an import may say; the last two are what one client calls its own form.
const IMPORT_KEYS: [&str; 5] = [
    "dataset_import_sources",
    "email_notification",
    "skip_import_analyze",
    "import_location",
    "flush",
];

pub(crate) async fn import(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let body = call.body()?;
    if let Some(unknown) = body.keys().find(|key| !IMPORT_KEYS.contains(&key.as_str())) {
        return Err(Failure::invalid_schema(format!("{unknown} is not known here")));
    }
    let document = bdbs::document_of(&app, view.database.id);
    let request = TransferRequest {
        locations: import_sources(&app, &body, &document)?,
        skip_size_check: document.get("skip_import_analyze").and_then(Value::as_str) == Some("enabled"),
    };
    let accepted = app
        .control()
        .import_database(&call.caller, view.database.id, request, bdbs::options(&call))
        .await?;
    promise_mail(&app, &call, &body, "import", &accepted).await;
    Ok(bdbs::action_uid(&app, &call, &accepted))
}

/// The sources of the body, else those that were given with the database.
fn import_sources(app: &App, body: &JsonObject, document: &JsonObject) -> Result<Vec<Location>, Failure> {
    let given = body
        .get("dataset_import_sources")
        .or(body.get("import_location"))
        .filter(|value| !value.is_null());
    let field = "dataset_import_sources";
    match given {
        Some(Value::Array(sources)) if !sources.is_empty() => locations(sources, field, Purpose::Read, app),
        Some(one @ (Value::String(_) | Value::Object(_))) => Ok(vec![location(one, field, Purpose::Read, app, None)?]),
        Some(Value::Array(_)) | None => remembered(app, document),
        Some(_) => Err(Failure::invalid_schema("dataset_import_sources must be a list")),
    }
}

fn remembered(app: &App, document: &JsonObject) -> Result<Vec<Location>, Failure> {
    let sealed = document.get(IMPORT_SOURCES).and_then(Value::as_str);
    let missing = || Failure::bad_request("missing_field", "dataset_import_sources is required");
    let text = app
        .control()
        .open(&Sealed::from_cipher_text(sealed.ok_or_else(missing)?.to_owned()))?;
    let sources: Vec<Value> = serde_json::from_str(text.expose()).map_err(Failure::internal)?;
    locations(&sources, "dataset_import_sources", Purpose::Read, app)
}

pub(crate) async fn export(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let body = call.body()?;
    let to = body.get("export_location").filter(|value| !value.is_null());
    let to = to.ok_or_else(|| Failure::bad_request("missing_field", "export_location is required"))?;
    let to = location(to, "export_location", Purpose::Write, &app, None)?;
    let request = TransferRequest {
        locations: vec![to],
        skip_size_check: false,
    };
    let accepted = app
        .control()
        .export_database(&call.caller, view.database.id, request, bdbs::options(&call))
        .await?;
    promise_mail(&app, &call, &body, "export", &accepted).await;
    Ok(bdbs::action_uid(&app, &call, &accepted))
}

/// Whoever asks for it with the request is told by mail how it ends.
async fn promise_mail(app: &App, call: &Call, body: &JsonObject, action: &str, accepted: &Accepted) {
    if let (Some(Value::Bool(true)), Some(operation)) = (body.get("email_notification"), &accepted.operation) {
        mail::promise(
            app,
            &call.principal,
            action,
            accepted.database.database.id,
            operation.id,
        )
        .await;
    }
}

pub(crate) async fn reset_import(app: App, call: Call) -> Answer {
    reset(&app, &call, TransferKind::Import).await
}

pub(crate) async fn reset_export(app: App, call: Call) -> Answer {
    reset(&app, &call, TransferKind::Export).await
}

pub(crate) async fn reset_backup(app: App, call: Call) -> Answer {
    reset(&app, &call, TransferKind::Backup).await
}

async fn reset(app: &App, call: &Call, kind: TransferKind) -> Answer {
    let id: DatabaseId = bdbs::find(app, call)?.database.id;
    app.control().reset_transfer(&call.caller, id, kind).await?;
    Ok(ok_empty())
}
