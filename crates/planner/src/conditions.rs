//! Conditions: the typed truths that a pass leaves behind.

use pilothouse_model::{Condition, ConditionKind, Timestamp, Truth};

/// A condition before it is known since when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: ConditionKind,
    pub(crate) truth: Truth,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(kind: ConditionKind, truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            truth,
            reason,
            message: message.into(),
        }
    }
}

/// The findings as conditions; `since` is kept where the truth did not change.
pub(crate) fn dated(findings: Vec<Finding>, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    findings
        .into_iter()
        .map(|finding| {
            let since = before
                .iter()
                .find(|old| old.kind == finding.kind && old.truth == finding.truth)
                .map_or(now, |old| old.since);
            Condition {
                kind: finding.kind,
                truth: finding.truth,
                reason: finding.reason.to_owned(),
                message: finding.message,
                since,
            }
        })
        .collect()
}
