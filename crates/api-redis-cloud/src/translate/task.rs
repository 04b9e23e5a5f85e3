//! A task as clients see it (specification §3).

use pilothouse_model::{Operation, OperationPhase};
use serde_json::{Value, json};

use super::time;
use crate::call::Family;
use crate::{error, state};

/// The task of a request. `submitted` is the answer to the request itself.
pub(crate) fn show(operation: &Operation, base: &str, submitted: bool) -> Value {
    let command = operation
        .request
        .as_ref()
        .map_or("", |request| request.command.as_str());
    let own = format!("{base}/v1/tasks/{}", operation.id);
    let link = |rel: &str, href: &str| json!({ "rel": rel, "type": "GET", "href": href });
    let mut links = vec![link(if submitted { "task" } else { "self" }, &own)];
    let answer = operation.request.as_ref().and_then(|request| request.answer.as_ref());
    let mut shown = json!({
        "taskId": operation.id.to_string(),
        "commandType": command,
        "status": state::task(operation),
        "description": description(operation),
        "timestamp": time::millis(operation.changed_at),
    });
    match &operation.phase {
        OperationPhase::Processed => {
            let answer = answer.cloned().unwrap_or_else(|| json!({}));
            if let Some(path) = resource(command, &answer) {
                links.insert(0, link("resource", &format!("{base}/v1{path}")));
            }
            shown["response"] = answer;
        }
        OperationPhase::Failed { code, message } => {
            let code = if code == pilothouse_control::Refusal::INTERNAL {
                "GENERAL_ERROR"
            } else {
                code
            };
            shown["response"] = json!({
                "error": { "type": code, "status": error::status_of(code), "description": message },
            });
            if code == "ACL_USER_PASSWORD_NOT_VALID" {
                shown["response"]["additionalInfo"] = json!("cluster-user-password-wrong-pattern");
            }
        }
        OperationPhase::Received | OperationPhase::Processing => {}
    }
    shown["links"] = Value::Array(links);
    shown
}

fn description(operation: &Operation) -> String {
    match &operation.phase {
        OperationPhase::Received => "received; waits for its turn".to_owned(),
        OperationPhase::Processing => "being validated and planned".to_owned(),
        OperationPhase::Processed => "processed; what was asked for is being provisioned".to_owned(),
        OperationPhase::Failed { message, .. } => format!("not processed: {message}"),
    }
}

/// The path of what a create or update made.
fn resource(command: &str, answer: &Value) -> Option<String> {
    let creates = command.ends_with("CreateRequest") || command.ends_with("UpdateRequest");
    let number = answer.get("resourceId")?.as_u64().filter(|_| creates)?;
    let list = [("aclRedisRule", "redisRules"), ("aclRole", "roles")];
    if let Some((_, list)) = list.iter().find(|(kind, _)| command.starts_with(kind)) {
        return Some(format!("/acl/{list}"));
    }
    if command.starts_with("aclUser") {
        return Some(format!("/acl/users/{number}"));
    }
    if command.starts_with("cloudAccount") {
        return Some(format!("/cloud-accounts/{number}"));
    }
    let (family, command) = Family::of_command(command);
    let path = family.path();
    if command.starts_with("subscription") {
        return Some(format!("{path}/{number}"));
    }
    let subscription = answer.get("additionalResourceId")?.as_u64()?;
    command
        .starts_with("database")
        .then(|| format!("{path}/{subscription}/databases/{number}"))
}
