//! Tasks (specification §3.2).

use std::time::Duration;

use pilothouse_model::{Dialect, OperationId, OperationKind};
use serde_json::{Value, json};

use super::ok;
use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;
use crate::translate::task;

/// The longest wait that `?wait=` asks for.
const WAIT_MAX: u64 = 60;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let mut tasks = app.control().requests(Dialect::RedisCloud, call.account.tenant);
    tasks.sort_by(|a, b| b.changed_at.cmp(&a.changed_at).then(b.id.cmp(&a.id)));
    let shown: Vec<Value> = tasks
        .iter()
        .map(|operation| task::show(operation, &call.base, false))
        .collect();
    Ok(ok(&json!({ "tasks": shown })))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let name = call.params.text("task");
    let unknown = || Failure::not_found(format!("Task {name} not found"));
    let id: OperationId = name.parse().map_err(|_| unknown())?;
    let wait = call.query_number("wait")?.unwrap_or(0) as u64;
    if wait > 0 {
        let patience = Duration::from_secs(wait.min(WAIT_MAX));
        app.control().wait_operation(id, patience).await;
    }
    let operation = app.control().operation(&call.caller, id).ok_or_else(unknown)?;
    if operation.kind != OperationKind::Request || operation.dialect != Dialect::RedisCloud {
        return Err(unknown());
    }
    Ok(ok(&task::show(&operation, &call.base, false)))
}
