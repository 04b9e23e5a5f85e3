//! Events: every change of state and every decision, with who and why. The audit log, and the source of the dialects' logs.

use serde::{Deserialize, Serialize};

use crate::{EventId, OperationId, Subject, TenantId, Timestamp};

/// How much an event matters to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Only for finding faults.
    Debug,
    /// Ordinary.
    Info,
    /// Somebody should look at it today.
    Warning,
    /// Something asked for did not happen.
    Error,
    /// Data or service is at stake.
    Critical,
}

/// An event before it has an id and a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventDraft {
    /// What happened, `kebab-case`, for programs: `database-created`, `failover-completed`.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it happened to.
    pub subject: Subject,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// Who caused it: `user:<name>` or the part of Pilothouse that decided.
    pub actor: String,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// One sentence for people: what and why. Never a secret.
    pub message: String,
    /// Facts for programs: before, after, counts. Never a secret.
    pub facts: serde_json::Value,
}

/// Something that happened. Never changed after it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id; ids sort by time.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What, to whom, by whom, why.
    #[serde(flatten)]
    pub what: EventDraft,
}
