//! Steps that fail again and again: told once, in the event log and to whoever waits for the operation. The loop goes on trying.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pilothouse_engine::ErrorClass;
use pilothouse_model::{Database, DatabaseId, Operation, OperationKind, OperationResult, Severity};
use pilothouse_planner::Plan;
use pilothouse_store::Urgency;

use super::{Record, StepError};
use crate::{Control, events, operations};

/// How long the same trouble may last before it is told.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two lines in the log about the same trouble.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What keeps databases from what is wanted of them.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<HashMap<DatabaseId, Trouble>>);

struct Trouble {
    since: Instant,
    logged: Option<Instant>,
    text: String,
    told: bool,
}

impl Troubles {
    /// A pass went well.
    pub(super) fn over(&self, database: DatabaseId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&database);
    }

    /// A step failed. Returns whether to log it, and whether it is to be told.
    fn met(&self, database: DatabaseId, text: &str, lasting: bool) -> (bool, bool) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let trouble = troubles.entry(database).or_insert_with(|| Trouble {
            since: now,
            logged: None,
            text: String::new(),
            told: false,
        });
        let log = trouble.text != text || trouble.logged.is_none_or(|at| now - at >= LOG_INTERVAL);
        if log {
            trouble.logged = Some(now);
            text.clone_into(&mut trouble.text);
        }
        let tell = lasting && !trouble.told && now - trouble.since >= PATIENCE;
        trouble.told |= tell;
        (log, tell)
    }
}

impl Control {
    /// Takes note of a step that failed.
    pub(super) async fn note_trouble(
        &self,
        record: &Record,
        operation: Option<&Operation>,
        plan: &Plan,
        error: &StepError,
    ) {
        let text = error.to_string();
        let (log, tell) = self.0.troubles.met(record.id, &text, is_lasting(error));
        if log {
            tracing::warn!(database = %record.id, name = %record.name, decision = %plan.sentence, error = %text, "a step failed");
        }
        if tell && let Err(error) = self.tell_trouble(record.id, operation, &plan.sentence, &text).await {
            tracing::warn!(database = %record.id, %error, "what is wrong could not be recorded");
        }
    }

    async fn tell_trouble(
        &self,
        id: DatabaseId,
        operation: Option<&Operation>,
        decision: &str,
        text: &str,
    ) -> Result<(), crate::ControlError> {
        let now = self.now();
        let waiting = operation
            .filter(|operation| ends_with_trouble(operation.kind))
            .map(|operation| operation.id);
        let message = format!("{decision}: {text}");
        self.transact(Urgency::Normal, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                return Ok(());
            };
            let mut database = row.record.as_ref().clone();
            let told = format!("{}: {message}", database.name);
            let event = events::about(
                &database,
                "step-failed",
                Severity::Error,
                "reconcile",
                database.operation,
                told,
            );
            transaction.append_event(now, event);
            if let Some(operation) = waiting
                && database.operation == Some(operation)
            {
                let code = "step-failed".to_owned();
                operations::finish(transaction, operation, OperationResult::Failed { code, message }, now);
                database.operation = None;
                transaction.put(database);
            }
            Ok(())
        })
        .await
    }
}

/// Whether trying again soon is unlikely to help.
fn is_lasting(error: &StepError) -> bool {
    match error {
        StepError::Engine(error) => error.class != ErrorClass::Transient,
        StepError::Runtime(_) => true,
        StepError::Gateway(_)
        | StepError::Control(_)
        | StepError::NotFed(_)
        | StepError::Interrupted
        | StepError::Outdated => false,
    }
}

/// Operations whose client is told: the change is kept and carried out when it can be. The others end in ways of their own.
const fn ends_with_trouble(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::UpdateDatabase
            | OperationKind::UpgradeDatabase
            | OperationKind::Failover
            | OperationKind::FlushDatabase
            | OperationKind::RecoverDatabase
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_logged_once_and_told_when_it_lasts() {
        let troubles = Troubles::default();
        let database = DatabaseId::new();
        assert_eq!(troubles.met(database, "no space", true), (true, false));
        assert_eq!(troubles.met(database, "no space", true), (false, false));
        assert_eq!(troubles.met(database, "other", true), (true, false));
        if let Some(trouble) = troubles.0.lock().unwrap().get_mut(&database) {
            trouble.since -= PATIENCE;
        }
        assert_eq!(troubles.met(database, "other", false), (false, false), "soon over");
        assert_eq!(troubles.met(database, "other", true), (false, true));
        assert_eq!(troubles.met(database, "other", true), (false, false), "told once");
        troubles.over(database);
        assert_eq!(troubles.met(database, "other", true), (true, false));
    }
}
