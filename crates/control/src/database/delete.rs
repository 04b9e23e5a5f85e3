//! Removing a database: the tombstone. The loop removes what it stands for; the record goes last.

use pilothouse_model::{Database, DatabaseId, Operation, OperationKind, OperationResult, Severity};

use crate::commands::RequestOptions;
use crate::{Caller, Control, ControlError, Noun, events, operations};

impl Control {
    /// Asks for the removal of a database. An operation that was under way ends as failed: it was overtaken. Asked again while the
    /// removal runs it is busy.
    pub async fn delete_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        options: RequestOptions,
    ) -> Result<Operation, ControlError> {
        let shown = self.database(caller, id)?;
        if shown.database.deleted_at.is_some() {
            return Err(ControlError::Busy {
                operation: shown.database.operation,
            });
        }
        let now = self.now();
        let operation = operations::processed(
            caller,
            shown.database.tenant,
            OperationKind::DeleteDatabase,
            id,
            shown.database.generation,
            None,
            now,
        );
        if options.dry_run {
            return Ok(operation);
        }
        let actor = caller.actor.clone();
        let returned = operation.clone();
        self.commit(caller, move |transaction| {
            let found = transaction
                .view()
                .get::<Database>(&id)
                .ok_or(ControlError::not_found(Noun::Database))?;
            let mut database: Database = found.record.as_ref().clone();
            if database.deleted_at.is_some() {
                return Err(ControlError::Busy {
                    operation: database.operation,
                });
            }
            if let Some(overtaken) = database.operation {
                let message = "the database was deleted meanwhile".to_owned();
                let result = OperationResult::Failed {
                    code: "deleted".to_owned(),
                    message,
                };
                operations::finish(transaction, overtaken, result, now);
            }
            database.deleted_at = Some(now);
            database.changed_at = now;
            database.operation = Some(operation.id);
            let message = format!("the removal of {} was asked for", database.name);
            let event = events::about(
                &database,
                "database-deletion-requested",
                Severity::Info,
                &actor,
                Some(operation.id),
                message,
            );
            transaction.append_event(now, event);
            transaction.put(operation);
            transaction.put(database);
            Ok(())
        })
        .await?;
        self.wake(id);
        if options.answer == pilothouse_model::AnswerPoint::Provisioned {
            let ended = self
                .wait_operation(returned.id, self.0.settings.policy.change_deadline)
                .await;
            return Ok(ended.map_or(returned, |ended| (*ended).clone()));
        }
        Ok(returned)
    }
}
