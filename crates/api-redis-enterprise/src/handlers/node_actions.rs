//! Actions on nodes. There is one node: nothing can be moved away from it, and it cannot be removed.

use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::nodes;

/// Actions that would move servers elsewhere.
const MOVING: [&str; 6] = [
    "remove",
    "maintenance_on",
    "enslave_node",
    "rebalance",
    "drain",
    "evacuate",
];

pub(crate) async fn list_all(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"actions": []})))
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Ok(ok(&json!({"actions": []})))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Err(never_run())
}

pub(crate) async fn start(app: App, call: Call) -> Answer {
    call.body()?;
    nodes::find(&app, call.uid("uid")?)?;
    Err(match call.text("action") {
        action if MOVING.contains(&action) => Failure::not_acceptable(
            "insufficient_resources",
            "there is no other node that could take the shards of this one",
        ),
        "maintenance_off" => Failure::not_acceptable("not_in_maintenance", "the node is not in maintenance"),
        "clone_node_settings" => Failure::not_acceptable("node_not_found", "there is no other node"),
        _ => Failure::bad_request("invalid_action", "nodes have no such action"),
    })
}

pub(crate) async fn cancel(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Err(never_run())
}

pub(crate) async fn snapshots(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Ok(ok(&json!([])))
}

pub(crate) async fn create_snapshot(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Err(Failure::not_acceptable(
        "insufficient_resources",
        "a snapshot of a single node could never be restored elsewhere",
    ))
}

pub(crate) async fn delete_snapshot(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    Err(Failure::not_found("snapshot_not_exist", "there is no such snapshot"))
}

fn never_run() -> Failure {
    Failure::not_found("action_not_exist", "this action was never run on this node")
}
