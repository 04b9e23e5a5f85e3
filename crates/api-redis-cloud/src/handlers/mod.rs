//! What answers: decode, ask or submit, encode.

pub(crate) mod absent;
pub(crate) mod account;
pub(crate) mod acl;
pub(crate) mod cloud_accounts;
pub(crate) mod databases;
pub(crate) mod fixed;
pub(crate) mod logs;
pub(crate) mod subscriptions;
pub(crate) mod tags;
pub(crate) mod tasks;

use pilothouse_api::{Response, StatusCode, json_response};
use pilothouse_model::Subject;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call};
use crate::translate::task;

/// Writes the request down and answers with its task.
pub(crate) async fn submit(app: &App, call: &Call, status: StatusCode, command: &str, content: Value) -> Answer {
    let subject = Subject::Tenant(call.account.tenant);
    let operation = app.control().submit(&call.caller, subject, command, &content).await?;
    Ok(json_response(status, &task::show(&operation, &call.base, true)))
}

/// What a request to be processed later is: the numbers of its path, its body, and who asked.
pub(crate) fn content(call: &Call, subscription: Option<u64>, database: Option<u64>, body: Value) -> Value {
    json!({ "subscription": subscription, "database": database, "body": body, "key": call.key.name })
}

/// As [`content`], about something else than subscriptions and databases.
pub(crate) fn content_about(call: &Call, id: Option<u64>, body: Value) -> Value {
    json!({ "id": id, "body": body, "key": call.key.name })
}

/// 202 with a task is what most of these calls answer.
pub(crate) const ACCEPTED: StatusCode = StatusCode::ACCEPTED;

/// 200 with JSON.
pub(crate) fn ok(value: &Value) -> Response {
    json_response(StatusCode::OK, value)
}
