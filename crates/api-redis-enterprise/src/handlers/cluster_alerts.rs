//! Alerts of the cluster.

use pilothouse_api::JsonObject;
use pilothouse_model::Subject;
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::translate::alerts::shown;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    Ok(ok(&all(&app, &call)))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    match all(&app, &call).remove(call.text("alert")) {
        Some(alert) => Ok(ok(&alert)),
        None => Err(Failure::not_found("alert_not_exist", "the cluster has no such alert")),
    }
}

fn all(app: &App, call: &Call) -> JsonObject {
    let settings = app
        .settings()
        .cluster
        .get("alert_settings")
        .cloned()
        .unwrap_or_default();
    let ignore = call.request.query.flag("ignore_settings");
    let names = settings
        .as_object()
        .into_iter()
        .flat_map(JsonObject::keys)
        .filter(|name| name.starts_with("cluster_"));
    let alert = |name: &String| -> (String, Value) {
        (
            name.clone(),
            shown(&settings, app.board(), Subject::Installation, name, ignore),
        )
    };
    names.map(alert).collect()
}
