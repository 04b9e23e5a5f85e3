//! Modules of databases, of which there are none.

use pilothouse_control::{ControlError, Noun};
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok_empty};
use crate::error::Failure;
use crate::handlers::bdbs;

pub(crate) async fn configure(app: App, call: Call) -> Answer {
    refuse(&app, &call)
}

pub(crate) async fn upgrade(app: App, call: Call) -> Answer {
    refuse(&app, &call)
}

/// An empty list configures nothing and is fine; any module that is named does not exist.
fn refuse(app: &App, call: &Call) -> Answer {
    bdbs::find(app, call).map_err(|_| Failure::from(ControlError::not_found(Noun::Database)))?;
    match call.body()?.get("modules") {
        None | Some(Value::Null) => Err(Failure::bad_request("missing_field", "modules is required")),
        Some(Value::Array(modules)) if modules.is_empty() => Ok(ok_empty()),
        Some(Value::Array(_)) => Err(Failure::not_found(
            "module_not_exist",
            "no modules are available on this cluster",
        )),
        Some(_) => Err(Failure::invalid_schema("modules must be a list")),
    }
}
