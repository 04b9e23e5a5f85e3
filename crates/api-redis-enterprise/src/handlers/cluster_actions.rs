//! Actions on the cluster. The only one known is a change of its master, and there is one node.

use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::nodes;

pub(crate) async fn list(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"actions": []})))
}

pub(crate) async fn get(_app: App, _call: Call) -> Answer {
    Err(never_run())
}

pub(crate) async fn start(app: App, call: Call) -> Answer {
    let body = call.body()?;
    if call.text("action") != "change_master" {
        return Err(Failure::bad_request("invalid_action", "the cluster has no such action"));
    }
    let uid = match body.get("node_uid") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_u64(),
        _ => return Err(Failure::bad_request("missing_field", "node_uid is missing")),
    };
    // The one node there is is the master already.
    nodes::find(&app, uid.unwrap_or(0))?;
    Ok(ok_empty())
}

pub(crate) async fn cancel(_app: App, _call: Call) -> Answer {
    Err(never_run())
}

fn never_run() -> Failure {
    Failure::not_found("action_not_exist", "this action was never run")
}
