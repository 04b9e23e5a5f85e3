//! Alerts of databases: state and settings.

use pilothouse_api::JsonObject;
use pilothouse_control::DocumentWrite;
use pilothouse_model::{DatabaseId, EventDraft, Severity, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::translate::alerts::{merged_settings, shown, threshold_text};
use crate::translate::bdb_alerts::{DOCUMENT, DOCUMENT_VERSION, settings_of};

pub(crate) async fn list_all(app: App, call: Call) -> Answer {
    let all = app.control().databases(&call.caller);
    let of_each = all.iter().map(|view| {
        let id = view.database.id;
        let settings = settings_of(&app, id);
        (
            app.uid(Subject::Database(id)).to_string(),
            Value::Object(alerts(&app, &call, id, &settings)),
        )
    });
    Ok(ok(&of_each.collect::<JsonObject>()))
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let id = bdbs::find(&app, &call)?.database.id;
    Ok(ok(&alerts(&app, &call, id, &settings_of(&app, id))))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let id = bdbs::find(&app, &call)?.database.id;
    let alert = alerts(&app, &call, id, &settings_of(&app, id)).remove(call.text("alert"));
    Ok(ok(&alert.ok_or_else(|| {
        Failure::not_found("alert_not_exist", "bdbs have no such alert")
    })?))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let id = view.database.id;
    let body = call.body()?;
    for (name, change) in &body {
        let threshold = change.get("threshold").filter(|threshold| !threshold.is_null());
        if threshold.is_some_and(|threshold| threshold_text(threshold).is_none()) {
            let why = format!("the threshold of {name} must be a number that is not negative");
            return Err(Failure::not_acceptable("invalid_threshold", why));
        }
    }
    let settings = merged_settings(Some(&settings_of(&app, id)), &body)?;
    if !call.dry_run() {
        let event = EventDraft {
            kind: "alert-settings-changed".to_owned(),
            severity: Severity::Info,
            subject: Subject::Database(id),
            tenant: Some(view.database.tenant),
            actor: call.caller.actor.clone(),
            operation: None,
            message: format!("settings of alerts of {} were changed", view.database.name),
            facts: json!({"name": view.database.name.as_str()}),
        };
        let document = DocumentWrite {
            kind: DOCUMENT,
            version: DOCUMENT_VERSION,
            body: settings.clone(),
        };
        app.control()
            .put_document(&call.caller, Subject::Database(id), document, Some(event))
            .await?;
    }
    Ok(ok(&alerts(&app, &call, id, &settings)))
}

fn alerts(app: &App, call: &Call, id: DatabaseId, settings: &Value) -> JsonObject {
    let ignore = call.request.query.flag("ignore_settings");
    let names = settings.as_object().into_iter().flat_map(JsonObject::keys);
    names
        .map(|name| {
            (
                name.clone(),
                shown(settings, app.board(), Subject::Database(id), name, ignore),
            )
        })
        .collect()
}

// Alerts of single sources of replication. The alerts of the database itself tell of the one source it can have.

pub(crate) async fn sources_all(_app: App, _call: Call) -> Answer {
    Ok(ok_empty())
}

pub(crate) async fn sources_of(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Ok(ok_empty())
}

pub(crate) async fn source(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(Failure::not_found("not_found", "there is no such source"))
}

pub(crate) async fn source_alert(app: App, call: Call) -> Answer {
    source(app, call).await
}
