//! Alerts of nodes.

use pilothouse_api::JsonObject;
use pilothouse_model::{HostId, Subject};
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::nodes;
use crate::translate::alerts::of_subject;

pub(crate) async fn list_all(app: App, call: Call) -> Answer {
    let hosts = app.control().hosts();
    let of_each = hosts.iter().map(|host| {
        (
            app.uid(Subject::Host(host.id)).to_string(),
            Value::Object(of_node(&app, &call, host.id)),
        )
    });
    Ok(ok(&of_each.collect::<JsonObject>()))
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let host = nodes::find(&app, call.uid("uid")?)?;
    Ok(ok(&of_node(&app, &call, host.id)))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let host = nodes::find(&app, call.uid("uid")?)?;
    match of_node(&app, &call, host.id).remove(call.text("alert")) {
        Some(alert) => Ok(ok(&alert)),
        None => Err(Failure::not_found("alert_not_exist", "nodes have no such alert")),
    }
}

fn of_node(app: &App, call: &Call, host: HostId) -> JsonObject {
    of_subject(app, call, Subject::Host(host), "node_")
}
