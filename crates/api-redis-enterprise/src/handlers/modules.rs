//! Modules. The engines here have none.

use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;

pub(crate) async fn list(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!([])))
}

pub(crate) async fn get(_app: App, _call: Call) -> Answer {
    Err(not_exist())
}

pub(crate) async fn delete(_app: App, _call: Call) -> Answer {
    Err(not_exist())
}

pub(crate) async fn upload(_app: App, _call: Call) -> Answer {
    Err(Failure::not_acceptable(
        "modules_upload_not_allowed",
        "modules cannot be uploaded to this cluster",
    ))
}

pub(crate) async fn capabilities(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"all_capabilities": []})))
}

fn not_exist() -> Failure {
    Failure::not_found("module_not_exist", "there is no such module")
}
