//! Where things stand, in the words of this API.

use pilothouse_model::{
    Condition, ConditionKind, Database, Lifecycle, Liveness, OperationKind, OperationPhase, ProcessState,
    ServerObservation, Truth,
};

/// Where a database stands.
pub(crate) const fn database(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Creating => "creating",
        Lifecycle::CreationFailed => "creation-failed",
        Lifecycle::Active => "active",
        Lifecycle::Changing => "changing",
        Lifecycle::Importing => "importing",
        Lifecycle::Unavailable => "unavailable",
        Lifecycle::Recovery => "recovery",
        Lifecycle::Deleting => "deleting",
    }
}

/// Why it does not stand better than that; empty when there is nothing to say.
pub(crate) fn reason(database: &Database, lifecycle: Lifecycle) -> String {
    if let Some(error) = &database.creation_error {
        return error.clone();
    }
    let bad = |condition: &&Condition| match condition.kind {
        ConditionKind::Ready => condition.truth != Truth::True && lifecycle != Lifecycle::Active,
        ConditionKind::Progressing | ConditionKind::SharedHost => false,
        ConditionKind::Degraded
        | ConditionKind::CrashLooping
        | ConditionKind::Unresponsive
        | ConditionKind::RecoveryNeeded
        | ConditionKind::DeletionBlocked => condition.truth == Truth::True,
    };
    let telling = database
        .conditions
        .iter()
        .filter(bad)
        .max_by_key(|condition| condition.kind);
    telling.map_or_else(String::new, |condition| condition.message.clone())
}

/// Where a server stands.
pub(crate) fn server(seen: Option<&ServerObservation>) -> &'static str {
    match seen.map(|seen| (seen.process, seen.liveness)) {
        None | Some((ProcessState::Unknown, _)) => "unknown",
        Some((ProcessState::Absent, _)) => "stopped",
        Some((ProcessState::Leftover, _)) => "ending",
        Some((ProcessState::Running { .. }, liveness)) => match liveness {
            Liveness::Ok => "ok",
            Liveness::Loading => "loading",
            Liveness::Busy => "busy",
            Liveness::Silent => "silent",
            Liveness::Unreachable => "unreachable",
            Liveness::Unknown => "unknown",
        },
    }
}

/// What an operation does.
pub(crate) const fn operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateDatabase => "create-database",
        OperationKind::UpdateDatabase => "update-database",
        OperationKind::DeleteDatabase => "delete-database",
        OperationKind::FlushDatabase => "flush-database",
        OperationKind::UpgradeDatabase => "upgrade-database",
        OperationKind::Failover => "failover",
        OperationKind::ExportDatabase => "export-database",
        OperationKind::BackupDatabase => "backup-database",
        OperationKind::ImportDatabase => "import-database",
        OperationKind::RecoverDatabase => "recover-database",
        OperationKind::Request => "request",
    }
}

/// How far it is.
pub(crate) const fn phase(phase: &OperationPhase) -> &'static str {
    match phase {
        OperationPhase::Received => "received",
        OperationPhase::Processing => "processing",
        OperationPhase::Processed => "processed",
        OperationPhase::Failed { .. } => "failed",
    }
}

/// The word of the store for a word of the model: both are serialised without data.
pub(crate) fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}
