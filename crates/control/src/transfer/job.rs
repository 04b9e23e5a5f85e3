//! The record of a transfer: taking it up, and the commits that say how far it is.

use std::sync::Arc;

use pilothouse_backup::{OpenedLocation, S3Bucket};
use pilothouse_model::{
    BucketName, Database, DatabaseId, DatabaseName, Location, Operation, OperationId, OperationKind, OperationResult,
    S3Access, Severity, Timestamp, Transfer, TransferKind, TransferPhase,
};
use pilothouse_store::{Transaction, Urgency};

use super::{Done, Failure, Halt};
use crate::{Control, ControlError, Field, events, fault, operations};

/// A transfer that is to be carried out, as it was when it was taken up.
pub(super) struct Job {
    pub(super) database: DatabaseId,
    pub(super) name: DatabaseName,
    pub(super) transfer: Transfer,
    /// The operation that it belongs to.
    operation: Option<OperationId>,
    /// Who asked for it.
    actor: String,
}

/// Whether the transfer is still to be carried out.
pub(super) fn is_open(transfer: &Transfer) -> bool {
    matches!(transfer.status.phase, TransferPhase::Waiting | TransferPhase::Running)
}

const fn operation_kind(kind: TransferKind) -> OperationKind {
    match kind {
        TransferKind::Export => OperationKind::ExportDatabase,
        TransferKind::Backup => OperationKind::BackupDatabase,
        TransferKind::Import => OperationKind::ImportDatabase,
    }
}

/// What events call it.
pub(super) const fn word(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Export => "export",
        TransferKind::Backup => "backup",
        TransferKind::Import => "import",
    }
}

impl Job {
    /// The open transfer of a database, if there is one.
    pub(super) fn load(control: &Control, database: DatabaseId) -> Option<Self> {
        let view = control.store().view();
        let row = view.get::<Database>(&database)?;
        if row.deleted_at.is_some() {
            return None;
        }
        let transfer = row.transfers.iter().find(|transfer| is_open(transfer))?.clone();
        let operation = row.operation.and_then(|id| view.get::<Operation>(&id));
        let operation = operation.filter(|operation| operation.kind == operation_kind(transfer.kind));
        Some(Self {
            database,
            name: row.name.clone(),
            operation: operation.map(|operation| operation.id),
            actor: operation.map_or_else(|| "transfer".to_owned(), |operation| operation.actor.clone()),
            transfer,
        })
    }

    /// When it was asked for: the same however often it is begun.
    pub(super) fn asked_at(&self) -> Timestamp {
        self.transfer.status.started_at
    }

    /// The database, while the transfer is wanted.
    pub(super) fn record(&self, control: &Control) -> Result<Arc<Database>, Halt> {
        let view = control.store().view();
        let row = view.get::<Database>(&self.database).ok_or(Halt::Overtaken)?;
        if self.is_current(row) {
            Ok(control.record_of(row))
        } else {
            Err(Halt::Overtaken)
        }
    }

    fn is_current(&self, database: &Database) -> bool {
        database.deleted_at.is_none()
            && (self.operation.is_none() || database.operation == self.operation)
            && database
                .transfer(self.transfer.kind)
                .is_some_and(|transfer| is_open(transfer) && transfer.status.started_at == self.asked_at())
    }

    /// The place of the transfer, with its secret opened.
    pub(super) fn location(&self, control: &Control) -> Result<OpenedLocation, Halt> {
        match self.transfer.locations.as_slice() {
            [location] => Ok(opened(control, location)?),
            [] => Err(Halt::general("no location was given")),
            several => Err(Halt::general(format!(
                "a database of one shard is imported from one file, and {} were given",
                several.len()
            ))),
        }
    }

    /// The places as they may be shown.
    fn shown(&self) -> String {
        let shown = self.transfer.locations.iter().map(Location::shown);
        shown.collect::<Vec<_>>().join(", ")
    }

    /// "to /backups", "from /backups/orders.rdb".
    fn whereto(&self) -> String {
        let word = if self.transfer.kind == TransferKind::Import {
            "from"
        } else {
            "to"
        };
        format!("{word} {}", self.shown())
    }

    /// Commits a change of the database's record, while the transfer is wanted.
    pub(super) async fn amend(
        &self,
        control: &Control,
        change: impl FnOnce(&mut Transaction<'_>, &mut Database) -> Result<(), Halt> + Send,
    ) -> Result<(), Halt> {
        let mut outcome = Ok(());
        let slot = &mut outcome;
        control
            .transact(Urgency::Normal, move |transaction| {
                let found = transaction.view().get::<Database>(&self.database);
                let Some(mut database) = found
                    .filter(|row| self.is_current(row))
                    .map(|row| row.record.as_ref().clone())
                else {
                    *slot = Err(Halt::Overtaken);
                    return Ok(());
                };
                match change(transaction, &mut database) {
                    Ok(()) => transaction.put(database),
                    Err(halt) => *slot = Err(halt),
                }
                Ok::<(), ControlError>(())
            })
            .await?;
        outcome
    }

    /// Commits a change of the transfer itself.
    pub(super) async fn amend_transfer(
        &self,
        control: &Control,
        change: impl FnOnce(&mut Transfer) + Send,
    ) -> Result<(), Halt> {
        self.amend(control, |_, database| {
            change(transfer_of(database, self.transfer.kind)?);
            Ok(())
        })
        .await
    }

    /// Records that it is being carried out.
    pub(super) async fn begin(&self, control: &Control) -> Result<(), Halt> {
        if self.transfer.status.phase == TransferPhase::Running {
            return Ok(());
        }
        let now = control.now();
        self.amend(control, |transaction, database| {
            transfer_of(database, self.transfer.kind)?.status.phase = TransferPhase::Running;
            let message = format!("{} of {} {} began", word(self.transfer.kind), self.name, self.whereto());
            let mut event = self.event(database, "started", Severity::Info, message);
            event.facts = self.facts(serde_json::Value::Null);
            transaction.append_event(now, event);
            Ok(())
        })
        .await?;
        fault::point("transfer-begun").await;
        Ok(())
    }

    /// Records how far it is, for people who look.
    pub(super) async fn progressed(&self, control: &Control, percent: u8) -> Result<(), Halt> {
        let now = control.now();
        let operation = self.operation;
        self.amend(control, |transaction, database| {
            transfer_of(database, self.transfer.kind)?.status.progress = percent;
            let row = operation.and_then(|id| transaction.view().get::<Operation>(&id));
            if let Some(mut operation) = row.map(|row| row.record.as_ref().clone()).filter(|row| !row.is_final()) {
                operation.progress = percent;
                operation.changed_at = now;
                transaction.put(operation);
            }
            Ok(())
        })
        .await
    }

    /// Records that it ended well.
    pub(super) async fn succeed(&self, control: &Control, done: Done) -> Result<(), Halt> {
        let now = control.now();
        fault::point("transfer-done").await;
        self.amend(control, |transaction, database| {
            let transfer = transfer_of(database, self.transfer.kind)?;
            transfer.status.phase = TransferPhase::Succeeded;
            transfer.status.progress = 100;
            transfer.status.failure = None;
            transfer.status.ended_at = Some(now);
            transfer.last_success_at = Some(now);
            transfer.replacement = None;
            self.end(transaction, database, OperationResult::Succeeded, now);
            let mut message = format!(
                "{} of {} {} succeeded",
                word(self.transfer.kind),
                self.name,
                self.whereto()
            );
            let mut severity = Severity::Info;
            if let Some(warning) = &done.warning {
                message = format!("{message}; {warning}");
                severity = Severity::Warning;
            }
            let mut event = self.event(database, "succeeded", severity, message);
            event.facts = self.facts(done.facts);
            transaction.append_event(now, event);
            Ok(())
        })
        .await?;
        control.wake(self.database);
        Ok(())
    }

    /// Records that it failed, and why.
    pub(super) async fn fail(&self, control: &Control, failure: Failure) -> Result<(), Halt> {
        let now = control.now();
        fault::point("transfer-failed").await;
        self.amend(control, |transaction, database| {
            let transfer = transfer_of(database, self.transfer.kind)?;
            transfer.status.phase = TransferPhase::Failed;
            transfer.status.failure = Some((failure.word.clone(), failure.sentence.clone()));
            transfer.status.ended_at = Some(now);
            transfer.replacement = None;
            let result = OperationResult::Failed {
                code: failure.word.clone(),
                message: failure.sentence.clone(),
            };
            self.end(transaction, database, result, now);
            let message = format!(
                "{} of {} {} failed: {}",
                word(self.transfer.kind),
                self.name,
                self.whereto(),
                failure.sentence
            );
            let mut event = self.event(database, "failed", Severity::Error, message);
            event.facts = self.facts(serde_json::json!({ "reason": failure.word }));
            transaction.append_event(now, event);
            Ok(())
        })
        .await?;
        control.wake(self.database);
        Ok(())
    }

    fn end(&self, transaction: &mut Transaction<'_>, database: &mut Database, result: OperationResult, now: Timestamp) {
        if let Some(operation) = self.operation {
            operations::finish(transaction, operation, result, now);
            database.operation = None;
        }
    }

    fn event(
        &self,
        database: &Database,
        what: &str,
        severity: Severity,
        message: String,
    ) -> pilothouse_model::EventDraft {
        let kind = format!("{}-{what}", word(self.transfer.kind));
        events::about(database, &kind, severity, &self.actor, self.operation, message)
    }

    fn facts(&self, more: serde_json::Value) -> serde_json::Value {
        let mut facts = serde_json::json!({ "name": self.name.as_str(), "location": self.shown() });
        if let (Some(facts), serde_json::Value::Object(more)) = (facts.as_object_mut(), more) {
            facts.extend(more);
        }
        facts
    }
}

/// The transfer of that kind in a record that is being changed.
pub(super) fn transfer_of(database: &mut Database, kind: TransferKind) -> Result<&mut Transfer, Halt> {
    let mut transfers = database.transfers.iter_mut();
    transfers.find(|transfer| transfer.kind == kind).ok_or(Halt::Overtaken)
}

pub(super) fn opened(control: &Control, location: &Location) -> Result<OpenedLocation, ControlError> {
    Ok(match location {
        Location::Directory { path } => OpenedLocation::Directory {
            path: path.clone(),
            access: Arc::clone(&control.0.settings.file_access),
        },
        Location::Url { url, .. } => OpenedLocation::Url {
            url: control.open(url)?,
        },
        Location::S3 { bucket, path, access } => OpenedLocation::S3 {
            bucket: match access {
                Some(access) => Arc::new(given_bucket(control, bucket, access)?),
                None => control.configured_bucket(bucket)?,
            },
            path: path.clone(),
        },
    })
}

fn given_bucket(control: &Control, name: &BucketName, access: &S3Access) -> Result<S3Bucket, ControlError> {
    let S3Access {
        endpoint,
        region,
        access_key,
        secret_key,
    } = access;
    let bucket = S3Bucket::new(endpoint, region, name, false, access_key, &control.open(secret_key)?);
    bucket.map_err(|error| ControlError::invalid(Field::Location, error.to_string()))
}
