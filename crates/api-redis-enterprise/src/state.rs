//! Where a database stands, in the seven words of this API. No other word may ever appear: generated clients raise an exception.

use pilothouse_control::DatabaseView;
use pilothouse_model::{
    Condition, ConditionKind, Lifecycle, Operation, OperationKind, OperationPhase, OperationResult,
};

/// The `status` of a bdb.
///
/// A database that should serve and does not is `active-change-pending`: this API has no word for it, a loop is working on it, and
/// clients that wait for `active` do the right thing. Exports and backups leave the word alone; their own fields tell of them.
fn status(lifecycle: Lifecycle, operation: Option<&Operation>) -> &'static str {
    match lifecycle {
        Lifecycle::Creating => "pending",
        Lifecycle::CreationFailed => "creation-failed",
        Lifecycle::Active => "active",
        Lifecycle::Changing if operation.is_some_and(|operation| is_outbound(operation.kind)) => "active",
        Lifecycle::Changing | Lifecycle::Unavailable => "active-change-pending",
        Lifecycle::Importing => "import-pending",
        Lifecycle::Recovery => "recovery",
        Lifecycle::Deleting => "delete-pending",
    }
}

/// The `status` of a bdb as it stands. One whose traffic was stopped by hand serves nobody and is `active` all the same: it is as it was
/// asked to be, and `traffic_manually_disabled` tells of it.
pub(crate) fn status_of(view: &DatabaseView) -> &'static str {
    let stopped =
        |condition: &Condition| condition.kind == ConditionKind::Ready && condition.reason == "TrafficStopped";
    match view.lifecycle {
        Lifecycle::Unavailable if view.database.conditions.iter().any(stopped) => "active",
        lifecycle => status(lifecycle, view.operation.as_deref()),
    }
}

const fn is_outbound(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::ExportDatabase | OperationKind::BackupDatabase)
}

/// The name of the state machine that an operation is.
pub(crate) const fn state_machine(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateDatabase => "SMCreateBDB",
        OperationKind::UpdateDatabase | OperationKind::FlushDatabase => "SMUpdateBDB",
        OperationKind::DeleteDatabase => "SMDeleteBDB",
        OperationKind::UpgradeDatabase => "SMUpgradeBDB",
        OperationKind::Failover => "SMFailover",
        OperationKind::ExportDatabase | OperationKind::BackupDatabase => "SMExportBDB",
        OperationKind::ImportDatabase => "SMImportBDB",
        OperationKind::RecoverDatabase => "SMRecoverBDB",
        // Another API's words; never shown here.
        OperationKind::Request => "SMRequest",
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionState {
    Waiting,
    Running,
    Completed,
    Failed,
}

impl ActionState {
    pub(crate) const fn of(operation: &Operation) -> Self {
        match (&operation.result, &operation.phase) {
            (Some(OperationResult::Succeeded), _) => Self::Completed,
            (Some(OperationResult::Failed { .. }), _) | (None, OperationPhase::Failed { .. }) => Self::Failed,
            (None, OperationPhase::Received) => Self::Waiting,
            (None, OperationPhase::Processing | OperationPhase::Processed) => Self::Running,
        }
    }

    /// The word of `/v1/actions`.
    pub(crate) const fn v1(self) -> &'static str {
        match self {
            Self::Waiting => "pending",
            Self::Running => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The word of `/v2/actions`.
    pub(crate) const fn v2(self) -> &'static str {
        match self {
            Self::Waiting => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use pilothouse_model::{DatabaseId, Dialect, OperationId, Subject, TenantId, Timestamp};

    use super::*;

    pub(crate) fn operation(kind: OperationKind) -> Operation {
        Operation {
            id: OperationId::from_bytes([1; 16]),
            tenant: TenantId::from_bytes([2; 16]),
            dialect: Dialect::RedisEnterprise,
            actor: "user:admin".to_owned(),
            kind,
            subject: Subject::Database(DatabaseId::from_bytes([3; 16])),
            generation: 2,
            target: None,
            request: None,
            phase: OperationPhase::Processed,
            result: None,
            step: "start server".to_owned(),
            progress: 40,
            received_at: Timestamp::from_millis(1_760_400_082_000),
            changed_at: Timestamp::from_millis(1_760_400_083_000),
            ended_at: None,
        }
    }

    #[test]
    fn every_lifecycle_has_a_word_of_this_api() {
        let check = |lifecycle, kind: Option<OperationKind>, word| {
            assert_eq!(
                status(lifecycle, kind.map(operation).as_ref()),
                word,
                "{lifecycle:?} {kind:?}"
            );
        };
        check(Lifecycle::Creating, Some(OperationKind::CreateDatabase), "pending");
        check(Lifecycle::CreationFailed, None, "creation-failed");
        check(Lifecycle::Active, None, "active");
        check(
            Lifecycle::Changing,
            Some(OperationKind::UpdateDatabase),
            "active-change-pending",
        );
        check(Lifecycle::Changing, Some(OperationKind::ExportDatabase), "active");
        check(Lifecycle::Changing, Some(OperationKind::BackupDatabase), "active");
        check(Lifecycle::Unavailable, None, "active-change-pending");
        check(
            Lifecycle::Importing,
            Some(OperationKind::ImportDatabase),
            "import-pending",
        );
        check(Lifecycle::Recovery, None, "recovery");
        check(
            Lifecycle::Deleting,
            Some(OperationKind::DeleteDatabase),
            "delete-pending",
        );
    }

    #[test]
    fn actions_have_states() {
        let mut operation = operation(OperationKind::UpdateDatabase);
        assert_eq!(
            (ActionState::of(&operation).v1(), ActionState::of(&operation).v2()),
            ("active", "running")
        );
        operation.phase = OperationPhase::Received;
        assert_eq!(
            (ActionState::of(&operation).v1(), ActionState::of(&operation).v2()),
            ("pending", "queued")
        );
        operation.result = Some(OperationResult::Succeeded);
        assert_eq!(ActionState::of(&operation).v1(), "completed");
        operation.result = None;
        operation.phase = OperationPhase::Failed {
            code: "busy".to_owned(),
            message: String::new(),
        };
        assert_eq!(ActionState::of(&operation).v2(), "failed");
    }
}
