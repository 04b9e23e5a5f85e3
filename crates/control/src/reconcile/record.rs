//! Record: what a pass found, as conditions, settled generations and the ends of operations. Commits only what changed.

use std::sync::Arc;

use pilothouse_model::{
    Database, DatabaseId, EventDraft, Operation, OperationKind, OperationResult, Severity, Subject,
};
use pilothouse_planner::{Plan, Step};
use pilothouse_store::{Stored, Urgency};

use super::{Record, StepError};
use crate::{Control, ControlError, events, fault, operations};

impl Control {
    /// The record that a row holds.
    pub(crate) fn record_of(&self, row: &Arc<Stored<Database>>) -> Record {
        Arc::clone(&row.record)
    }

    /// Changes the record of a database in a commit of its own. `change` returns whether anything changed, and what to tell of it.
    pub(super) async fn amend(
        &self,
        id: DatabaseId,
        urgency: Urgency,
        change: impl FnOnce(&mut Database) -> Result<Option<EventDraft>, StepError> + Send,
    ) -> Result<(), StepError> {
        let now = self.now();
        let mut outcome = Ok(());
        let slot = &mut outcome;
        self.transact(urgency, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                *slot = Err(StepError::Outdated);
                return Ok(());
            };
            let mut database = row.record.as_ref().clone();
            match change(&mut database) {
                Ok(event) => {
                    if let Some(event) = event {
                        transaction.append_event(now, event);
                    }
                    transaction.put(database);
                }
                Err(error) => *slot = Err(error),
            }
            Ok(())
        })
        .await?;
        outcome
    }

    /// Records the step in hand before it runs, so that somebody who looks sees what is being done.
    pub(super) async fn record_step(&self, operation: &Operation, steps: &[Step]) -> Result<(), StepError> {
        let words: Vec<String> = steps.iter().map(Step::to_string).collect();
        let step = words.join(", ");
        if operation.step == step {
            return Ok(());
        }
        fault::point("before-step-recorded").await;
        let id = operation.id;
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            if let Some(row) = transaction.view().get::<Operation>(&id)
                && !row.is_final()
            {
                let mut operation = row.record.as_ref().clone();
                operation.progress = operation.progress.saturating_add(10).min(90);
                operation.step = step;
                operation.changed_at = now;
                transaction.put(operation);
            }
            Ok(())
        })
        .await?;
        fault::point("after-step-recorded").await;
        Ok(())
    }

    /// Commits what a pass found, if it differs from the record.
    pub(super) async fn record_findings(
        &self,
        record: &Record,
        operation: Option<&Operation>,
        plan: &Plan,
    ) -> Result<(), StepError> {
        let became_active = plan.settled && !record.was_active;
        let settles = plan.settled && record.settled_generation != record.generation;
        let ended = operation.and_then(|operation| self.ended(record, operation, plan));
        let conditions_changed = plan.conditions != record.conditions;
        let dangling = record.operation.is_some() && operation.is_none() && record.deleted_at.is_none();
        if !(became_active || settles || ended.is_some() || conditions_changed || dangling) {
            return Ok(());
        }
        let now = self.now();
        let id = record.id;
        let planned = Arc::clone(record);
        let conditions = plan.conditions.clone();
        let settled = plan.settled;
        self.transact(Urgency::Normal, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                return Ok(());
            };
            let mut database = row.record.as_ref().clone();
            if database.deleted_at != planned.deleted_at || database.generation != planned.generation {
                return Ok(());
            }
            database.conditions = conditions;
            if settled {
                database.settled_generation = planned.generation;
                database.was_active = true;
            }
            if became_active {
                let message = format!("{} serves at {}", database.name, database.endpoint());
                let event = events::about(
                    &database,
                    "database-active",
                    Severity::Info,
                    "reconcile",
                    database.operation,
                    message,
                );
                transaction.append_event(now, event);
            }
            if dangling && database.operation == planned.operation {
                database.operation = None;
            }
            if let Some((operation, result)) = ended
                && database.operation == Some(operation)
            {
                operations::finish(transaction, operation, result, now);
                database.operation = None;
            }
            transaction.put(database);
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Whether the operation has ended with this pass, and how.
    fn ended(
        &self,
        record: &Record,
        operation: &Operation,
        plan: &Plan,
    ) -> Option<(pilothouse_model::OperationId, OperationResult)> {
        let done = match operation.kind {
            OperationKind::CreateDatabase
            | OperationKind::UpdateDatabase
            | OperationKind::UpgradeDatabase
            | OperationKind::RecoverDatabase => plan.settled && record.generation >= operation.generation,
            OperationKind::Failover => plan.settled && record.topology_epoch >= operation.generation,
            // These end in their own step or task.
            OperationKind::DeleteDatabase
            | OperationKind::FlushDatabase
            | OperationKind::ExportDatabase
            | OperationKind::BackupDatabase
            | OperationKind::ImportDatabase => false,
            // Never the operation of a database: it ends in its lane.
            OperationKind::Request => false,
        };
        if done {
            return Some((operation.id, OperationResult::Succeeded));
        }
        let transfer = matches!(
            operation.kind,
            OperationKind::ExportDatabase
                | OperationKind::BackupDatabase
                | OperationKind::ImportDatabase
                | OperationKind::DeleteDatabase
        );
        let overdue = self.now().since(operation.received_at) > self.0.settings.policy.change_deadline;
        // However long it takes: slots that move are progress, with every pass.
        let moving = plan.steps.iter().any(|step| matches!(step, Step::MoveSlots { .. }));
        (overdue && !moving && !transfer && record.was_active).then(|| {
            let message = format!("not done in time; still working on it: {}", plan.sentence);
            (
                operation.id,
                OperationResult::Failed {
                    code: "deadline".to_owned(),
                    message,
                },
            )
        })
    }

    /// Ends the operation of a database as succeeded.
    pub(crate) async fn finish_operation(
        &self,
        database: DatabaseId,
        operation: pilothouse_model::OperationId,
        result: OperationResult,
    ) -> Result<(), ControlError> {
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            operations::finish(transaction, operation, result, now);
            if let Some(row) = transaction.view().get::<Database>(&database)
                && row.operation == Some(operation)
            {
                let mut database = row.record.as_ref().clone();
                database.operation = None;
                transaction.put(database);
            }
            Ok(())
        })
        .await
    }
}

/// An event about a server of a database.
pub(super) fn about_server(
    database: &Database,
    server: pilothouse_model::ServerId,
    kind: &str,
    severity: Severity,
    message: impl Into<String>,
) -> EventDraft {
    let mut event = events::about(database, kind, severity, "reconcile", database.operation, message);
    event.facts =
        serde_json::json!({ "name": database.name.as_str(), "server": server, "subject": Subject::Server(server) });
    event
}
