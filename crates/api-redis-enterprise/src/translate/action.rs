//! Operations → actions. A state machine is an operation on a database; a task is something that a node does.

use pilothouse_api::JsonObject;
use pilothouse_model::{Host, Operation, OperationPhase, OperationResult};

use crate::state::{ActionState, state_machine};
use crate::wire::action::{Action, ActionV2};

/// The task that every node has done once: clients count on a list that is never empty.
const FOUNDING_TASK: &str = "retry_bdb";

/// An operation on the database with that integer.
pub(crate) fn v1(operation: &Operation, bdb_uid: Option<u64>) -> Action {
    let uid = operation.id.to_string();
    Action {
        creation_time: operation.received_at.as_secs().to_string(),
        error: error(operation),
        heartbeat: Some(operation.changed_at.as_secs()),
        name: state_machine(operation.kind),
        node_uid: None,
        object_name: bdb_uid.map(|uid| format!("bdb:{uid}")),
        progress: progress(operation).to_string(),
        state: (!operation.is_final() && !operation.step.is_empty()).then(|| operation.step.clone()),
        status: ActionState::of(operation).v1(),
        task_id: uid.clone(),
        action_uid: uid,
    }
}

/// An operation on the database with that integer, in the newer form.
pub(crate) fn v2(operation: &Operation, bdb_uid: Option<u64>) -> ActionV2 {
    let mut info = JsonObject::new();
    if !operation.is_final() && !operation.step.is_empty() {
        info.insert("description".to_owned(), operation.step.as_str().into());
    }
    if let Some(error) = error(operation) {
        info.insert("error".to_owned(), error.into());
    }
    if let Some(uid) = bdb_uid {
        info.insert("object_type".to_owned(), "bdb".into());
        info.insert("object_uid".to_owned(), uid.to_string().into());
    }
    ActionV2 {
        action_uid: operation.id.to_string(),
        action_type: "state-machine",
        creation_time: operation.received_at.as_secs(),
        name: state_machine(operation.kind),
        progress: f64::from(progress(operation)),
        status: ActionState::of(operation).v2(),
        additional_info: info,
    }
}

/// The founding task of a node.
pub(crate) fn founding_v1(host: &Host, node_uid: u64) -> Action {
    let uid = host.id.to_string();
    Action {
        creation_time: host.created_at.as_secs().to_string(),
        error: None,
        heartbeat: None,
        name: FOUNDING_TASK,
        node_uid: Some(node_uid.to_string()),
        object_name: None,
        progress: "100".to_owned(),
        state: None,
        status: "completed",
        task_id: uid.clone(),
        action_uid: uid,
    }
}

/// The founding task of a node, in the newer form.
pub(crate) fn founding_v2(host: &Host) -> ActionV2 {
    ActionV2 {
        action_uid: host.id.to_string(),
        action_type: "task",
        creation_time: host.created_at.as_secs(),
        name: FOUNDING_TASK,
        progress: 100.0,
        status: "completed",
        additional_info: JsonObject::new(),
    }
}

fn progress(operation: &Operation) -> u8 {
    if matches!(operation.result, Some(OperationResult::Succeeded)) {
        100
    } else {
        operation.progress
    }
}

fn error(operation: &Operation) -> Option<String> {
    match (&operation.result, &operation.phase) {
        (Some(OperationResult::Failed { message, .. }), _) | (None, OperationPhase::Failed { message, .. }) => {
            Some(message.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::OperationKind;
    use serde_json::json;

    use super::*;
    use crate::state::tests::operation;

    #[test]
    fn numbers_are_texts_in_the_first_version_and_numbers_in_the_second() {
        let operation = operation(OperationKind::CreateDatabase);
        let uid = "01010101-0101-0101-0101-010101010101";
        assert_eq!(
            serde_json::to_value(v1(&operation, Some(1))).unwrap(),
            json!({"action_uid": uid, "creation_time": "1760400082", "heartbeat": 1_760_400_083, "name": "SMCreateBDB",
                "object_name": "bdb:1", "progress": "40", "state": "start server", "status": "active", "task_id": uid})
        );
        assert_eq!(
            serde_json::to_value(v2(&operation, Some(1))).unwrap(),
            json!({"action_uid": uid, "action_type": "state-machine", "creation_time": 1_760_400_082, "name": "SMCreateBDB",
                "progress": 40.0, "status": "running",
                "additional_info": {"description": "start server", "object_type": "bdb", "object_uid": "1"}})
        );
    }

    #[test]
    fn a_failure_says_why_and_success_is_a_hundred() {
        let mut operation = operation(OperationKind::UpdateDatabase);
        operation.result = Some(OperationResult::Failed {
            code: "x".to_owned(),
            message: "the disk is full".to_owned(),
        });
        assert_eq!(v1(&operation, None).error.as_deref(), Some("the disk is full"));
        assert_eq!(v2(&operation, None).additional_info["error"], "the disk is full");
        operation.result = Some(OperationResult::Succeeded);
        assert_eq!(
            (v1(&operation, None).progress.as_str(), v1(&operation, None).status),
            ("100", "completed")
        );
    }
}
