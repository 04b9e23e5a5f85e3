//! The documents that this API keeps about subjects: JSON objects, changed key by key.

use pilothouse_api::JsonObject;
use pilothouse_control::{Caller, ControlError};
use pilothouse_model::{Dialect, EventDraft, Severity, Subject};
use serde_json::{Value, json};

use crate::app::App;

/// Version of the format of every document of this API.
pub(crate) const VERSION: u32 = 1;

/// The content of a document.
pub(crate) fn read(app: &App, subject: Subject, kind: &str) -> Option<Value> {
    let document = app.control().document(Dialect::RedisEnterprise, &subject, kind)?;
    Some(document.body.clone())
}

/// Sets these keys of a document, and leaves the others.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    subject: Subject,
    kind: &'static str,
    changes: JsonObject,
    event: Option<EventDraft>,
) -> Result<Value, ControlError> {
    let merge = move |current: Option<&Value>| {
        let mut body = current.and_then(Value::as_object).cloned().unwrap_or_default();
        body.extend(changes);
        Ok(Value::Object(body))
    };
    app.control()
        .update_document(caller, subject, kind, VERSION, merge, event)
        .await
}

/// An event about a change of settings.
pub(crate) fn event(caller: &Caller, kind: &str, subject: Subject, message: impl Into<String>) -> EventDraft {
    EventDraft {
        kind: kind.to_owned(),
        severity: Severity::Info,
        subject,
        tenant: None,
        actor: caller.actor.clone(),
        operation: None,
        message: message.into(),
        facts: json!({}),
    }
}
