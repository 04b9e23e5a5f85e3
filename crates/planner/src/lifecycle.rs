//! One word for where a database stands, computed and never stored.

use pilothouse_model::{ConditionKind, Database, Lifecycle, TransferKind, TransferPhase, Truth};

/// One word for where a database stands. From the record alone, so that a list of ten thousand costs nothing; the reconcile loop keeps
/// the condition `Ready` in step with what it sees.
pub fn lifecycle(database: &Database) -> Lifecycle {
    if database.deleted_at.is_some() {
        return Lifecycle::Deleting;
    }
    if database.creation_error.is_some() {
        return Lifecycle::CreationFailed;
    }
    if database.needs_recovery {
        return Lifecycle::Recovery;
    }
    if !database.was_active {
        return Lifecycle::Creating;
    }
    let importing = database
        .transfer(TransferKind::Import)
        .is_some_and(|import| matches!(import.status.phase, TransferPhase::Waiting | TransferPhase::Running));
    if importing {
        return Lifecycle::Importing;
    }
    let serves = database
        .conditions
        .iter()
        .any(|condition| condition.kind == ConditionKind::Ready && condition.truth == Truth::True);
    if !serves {
        return Lifecycle::Unavailable;
    }
    if database.operation.is_some() {
        Lifecycle::Changing
    } else {
        Lifecycle::Active
    }
}
