//! Alerts of the cluster.

use pilothouse_api::JsonObject;
use pilothouse_model::Subject;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::translate::alerts::of_subject;

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
    of_subject(app, call, Subject::Installation, "cluster_")
}
