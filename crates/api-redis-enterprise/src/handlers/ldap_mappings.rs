//! LDAP mappings. There are none, and none can be made while LDAP is not available.

use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;

pub(crate) async fn list(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!([])))
}

pub(crate) async fn create(_app: App, call: Call) -> Answer {
    call.body()?;
    Err(Failure::new(
        pilothouse_api::StatusCode::NOT_IMPLEMENTED,
        "unsupported_resource",
        "logging in by LDAP is not available on this cluster",
    ))
}

pub(crate) async fn get(_app: App, _call: Call) -> Answer {
    Err(not_exist())
}

pub(crate) async fn update(_app: App, _call: Call) -> Answer {
    Err(not_exist())
}

pub(crate) async fn delete(_app: App, _call: Call) -> Answer {
    Err(not_exist())
}

fn not_exist() -> Failure {
    Failure::not_found("ldap_mapping_not_exist", "there is no such LDAP mapping")
}
