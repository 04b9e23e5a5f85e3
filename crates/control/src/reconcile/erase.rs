//! The removal of a database: route, processes, directories, record, in that order. Every part can be repeated.

use std::time::{Duration, Instant};

use pilothouse_model::{
    Condition, ConditionKind, Database, DatabaseId, OperationResult, ServerId, Severity, Subject, Truth,
};
use pilothouse_store::Urgency;

use super::{Record, StepError};
use crate::{Control, documents, events, fault, operations};

/// How long a killed process may take to be gone before the removal reports itself as blocked and tries again later.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

impl Control {
    /// Removes everything of a database that is to be deleted, the record last.
    pub(super) async fn erase_database(&self, record: &Record) -> Result<(), StepError> {
        self.0.gateway.remove(record.id).await?;
        self.0.routes.forget(record.id);
        fault::point("delete-route-closed").await;
        for server in record.layout.servers().chain(record.fed_from()) {
            if let Err(error) = self.erase_server(server.id).await {
                self.report_blocked(record, &error).await?;
                return Err(error);
            }
        }
        fault::point("delete-servers-erased").await;
        self.drop_records(record.id).await
    }

    /// Ends every process of a server and erases its directory. Success when there is nothing.
    pub(crate) async fn erase_server(&self, server: ServerId) -> Result<(), StepError> {
        self.end_processes(server).await?;
        fault::point("server-ended").await;
        self.0.runtime.erase(server).await?;
        self.0.memories.forget(server);
        Ok(())
    }

    /// Kills every process of a server and waits until its directory is free.
    pub(crate) async fn end_processes(&self, server: ServerId) -> Result<(), StepError> {
        let deadline = Instant::now() + KILL_TIMEOUT;
        // Finds a process that this control plane never looked at: a tombstone may be all that is left after a crash.
        let (process, _) = self.0.runtime.adopt(server).await?;
        self.0.memories.of(server).lock().end_asked = true;
        if process != pilothouse_model::ProcessState::Absent {
            self.0.runtime.kill(server, deadline).await?;
            self.0.runtime.wait_released(server, deadline).await?;
        }
        let memory = self.0.memories.of(server);
        memory.lock().process_gone(pilothouse_model::ProcessState::Absent);
        *memory.session.lock().await = None;
        Ok(())
    }

    async fn report_blocked(&self, record: &Record, error: &StepError) -> Result<(), StepError> {
        let now = self.now();
        let message = error.to_string();
        let known = record.conditions.iter().any(|condition| condition.message == message);
        if known {
            return Ok(());
        }
        self.amend(record.id, Urgency::Normal, move |database| {
            database.conditions = vec![Condition {
                kind: ConditionKind::DeletionBlocked,
                truth: Truth::True,
                reason: "CannotErase".to_owned(),
                message: message.clone(),
                since: now,
            }];
            let text = format!("the removal of {} is held back: {message}", database.name);
            Ok(Some(events::about(
                database,
                "deletion-blocked",
                Severity::Error,
                "reconcile",
                database.operation,
                text,
            )))
        })
        .await
    }

    async fn drop_records(&self, id: DatabaseId) -> Result<(), StepError> {
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                return Ok(());
            };
            let database = row.record.as_ref().clone();
            let mut subjects = vec![Subject::Database(id)];
            subjects.extend(database.layout.servers().map(|server| Subject::Server(server.id)));
            for subject in &subjects {
                documents::remove_all(transaction, subject);
                transaction.release_wire_ids(subject);
            }
            if let Some(operation) = database.operation {
                operations::finish(transaction, operation, OperationResult::Succeeded, now);
            }
            let message = format!("database {} is gone", database.name);
            let event = events::about(
                &database,
                "database-deleted",
                Severity::Info,
                "reconcile",
                database.operation,
                message,
            );
            transaction.append_event(now, event);
            transaction.delete::<Database>(&id);
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Gives a creation up: ends and erases what was made of it, and records why. The record stays until it is deleted.
    pub(super) async fn abandon_creation(&self, record: &Record, why: &str) -> Result<(), StepError> {
        self.0.gateway.remove(record.id).await?;
        self.0.routes.forget(record.id);
        for server in record.layout.servers() {
            self.erase_server(server.id).await?;
        }
        let now = self.now();
        let id = record.id;
        let why = why.to_owned();
        self.transact(Urgency::Normal, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                return Ok(());
            };
            let mut database: Database = row.record.as_ref().clone();
            if database.deleted_at.is_some() {
                return Ok(());
            }
            for server in database.layout.servers() {
                transaction.release_wire_ids(&Subject::Server(server.id));
            }
            database.layout.shards.clear();
            database.creation_error = Some(why.clone());
            let message = format!("the creation of {} was given up: {why}", database.name);
            let operation = database.operation.take();
            let event = events::about(
                &database,
                "database-creation-failed",
                Severity::Error,
                "reconcile",
                operation,
                message,
            );
            transaction.append_event(now, event);
            if let Some(operation) = operation {
                let result = OperationResult::Failed {
                    code: "provisioning".to_owned(),
                    message: why,
                };
                operations::finish(transaction, operation, result, now);
            }
            transaction.put(database);
            Ok(())
        })
        .await?;
        Ok(())
    }
}
