//! Events: written in the commit of what they tell of, read by the dialects' logs.

use std::sync::Arc;

use pilothouse_model::{Database, Event, EventDraft, OperationId, Severity, Subject, Timestamp};
use pilothouse_store::Urgency;

use crate::{Caller, Control, ControlError, TenantScope};

/// Which events are wanted; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// About this.
    pub subject: Option<Subject>,
}

impl EventFilter {
    fn wants(&self, caller: &Caller, event: &Event) -> bool {
        let reached = match (&caller.scope, event.what.tenant) {
            (TenantScope::All, _) => true,
            (TenantScope::Only(tenants), Some(tenant)) => tenants.contains(&tenant),
            (TenantScope::Only(_), None) => false,
        };
        reached
            && self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at <= to)
            && self.subject.is_none_or(|subject| event.what.subject == subject)
    }
}

impl Control {
    /// The events that are kept and lie within the caller's reach, oldest first.
    pub fn events(&self, caller: &Caller, filter: &EventFilter) -> Vec<Arc<Event>> {
        let view = self.store().view();
        view.events()
            .filter(|event| filter.wants(caller, event))
            .map(|event| Arc::clone(&event.record))
            .collect()
    }

    /// As [`Control::events`], but newest first, from `offset` on and at most `limit`; each with its number, which only grows.
    pub fn newest_events(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        offset: usize,
        limit: usize,
    ) -> Vec<(u64, Arc<Event>)> {
        let view = self.store().view();
        view.newest_events()
            .filter(|(_, event)| filter.wants(caller, event))
            .skip(offset)
            .take(limit)
            .map(|(number, event)| (number, Arc::clone(&event.record)))
            .collect()
    }

    /// Writes an event that belongs to no other change.
    pub async fn record_event(&self, draft: EventDraft) -> Result<(), ControlError> {
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            transaction.append_event(now, draft);
            Ok(())
        })
        .await
    }
}

/// An event about a database.
pub(crate) fn about(
    database: &Database,
    kind: &str,
    severity: Severity,
    actor: &str,
    operation: Option<OperationId>,
    message: impl Into<String>,
) -> EventDraft {
    EventDraft {
        kind: kind.to_owned(),
        severity,
        subject: Subject::Database(database.id),
        tenant: Some(database.tenant),
        actor: actor.to_owned(),
        operation,
        message: message.into(),
        facts: serde_json::json!({ "name": database.name.as_str() }),
    }
}
