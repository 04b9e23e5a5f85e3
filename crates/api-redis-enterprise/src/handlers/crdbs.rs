//! Active-Active databases. There are none, and none can be made.

use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;

pub(crate) async fn list(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"crdbs": []})))
}

pub(crate) async fn create(_app: App, call: Call) -> Answer {
    call.body()?;
    Err(Failure::not_acceptable(
        "crdb_not_supported",
        "Active-Active databases are not available on this cluster",
    ))
}

pub(crate) async fn absent(_app: App, _call: Call) -> Answer {
    Err(Failure::not_found(
        "crdb_not_exist",
        "there is no such Active-Active database",
    ))
}

pub(crate) async fn tasks(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!([])))
}

pub(crate) async fn absent_task(_app: App, _call: Call) -> Answer {
    Err(Failure::not_found("task_not_exist", "there is no such task"))
}
