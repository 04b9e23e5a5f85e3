//! The words of this API for where things stand (specification §3.1 and §5). Nothing else is ever sent: clients stop at a word they do
//! not know.

use pilothouse_control::DatabaseView;
use pilothouse_model::{Lifecycle, Operation, OperationKind, OperationPhase};

/// Where a database stands.
pub(crate) fn database(view: &DatabaseView) -> &'static str {
    let upgrade = view
        .operation
        .as_ref()
        .is_some_and(|operation| operation.kind == OperationKind::UpgradeDatabase);
    match view.lifecycle {
        Lifecycle::Creating => "pending",
        Lifecycle::CreationFailed | Lifecycle::Recovery => "error",
        Lifecycle::Active => "active",
        Lifecycle::Changing if upgrade => "active-upgrade-pending",
        // While it does not serve it must not be called active; what is going on then is a change of ours.
        Lifecycle::Changing | Lifecycle::Importing | Lifecycle::Unavailable => "active-change-pending",
        Lifecycle::Deleting => "deleting",
    }
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Databases or capacity of it are being made.
    Pending,
    /// As it should be.
    Active,
    /// It is being removed.
    Deleting,
    /// What it began with could not be made.
    Error,
}

impl Subscription {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

/// How far a task is.
pub(crate) const fn task(operation: &Operation) -> &'static str {
    match operation.phase {
        OperationPhase::Received => "received",
        OperationPhase::Processing => "processing-in-progress",
        OperationPhase::Processed => "processing-completed",
        OperationPhase::Failed { .. } => "processing-error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_subscription_is_one_that_clients_know() {
        let words = [
            Subscription::Pending,
            Subscription::Active,
            Subscription::Deleting,
            Subscription::Error,
        ]
        .map(Subscription::as_str);
        assert_eq!(words, ["pending", "active", "deleting", "error"]);
    }
}
