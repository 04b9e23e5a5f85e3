//! Actions on a database that exists: flush, failover, upgrade, recovery, transfers.

use std::sync::Arc;

use pilothouse_model::Server;
use pilothouse_model::{
    Database, DatabaseId, Lineage, Operation, OperationKind, ServerId, Severity, Transfer, TransferKind, TransferPhase,
    TransferStatus,
};

use super::update::{changeable, check_open_for_change};
use crate::commands::{Accepted, RecoverDatabase, RequestOptions, TransferRequest, UpgradeDatabase};
use crate::{Caller, Control, ControlError, Field, Noun, events, operations};

impl Control {
    /// Empties a database.
    pub async fn flush_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.act(caller, id, OperationKind::FlushDatabase, "a flush", options, |_, _| {
            Ok(())
        })
        .await
    }

    /// Moves the primary to a replica in sync, without loss; to `target` where it is named.
    pub async fn fail_over(
        &self,
        caller: &Caller,
        id: DatabaseId,
        target: Option<ServerId>,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.act(
            caller,
            id,
            OperationKind::Failover,
            "a failover",
            options,
            move |database, operation| {
                let shard = match target {
                    Some(target) => database.layout.shard_of(target),
                    None => database.layout.shards.first(),
                };
                let shard = shard.ok_or(ControlError::not_found(Noun::Server))?;
                let fit =
                    |server: ServerId| shard.lineage.synced.contains(&server) && shard.lineage.primary != Some(server);
                let possible = match target {
                    Some(target) => fit(target),
                    None => shard.replicas().any(|replica| fit(replica.id)),
                };
                if !possible {
                    return Err(ControlError::Conflict("no replica in sync could take over".to_owned()));
                }
                operation.generation = database.topology_epoch + 1;
                operation.target = target;
                Ok(())
            },
        )
        .await
    }

    /// Restarts the servers one by one on the wanted version; a replicated database fails over in between.
    pub async fn upgrade_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: UpgradeDatabase,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        let shown = self.database(caller, id)?;
        let present = &shown.database.spec;
        let version = match command.version {
            Some(version) => self.installed(present.engine, version)?.version,
            None => self.serving(present.engine, present.version)?.version,
        };
        if version < shown.database.spec.version {
            return Err(ControlError::invalid(
                Field::Version,
                "an older version may not read the data of a newer one",
            ));
        }
        let safe = shown.database.spec.replicas > 0
            || shown.database.spec.persistence != pilothouse_model::Persistence::Disabled;
        if !safe && !command.may_discard_data && (command.force_restart || version != shown.database.spec.version) {
            let why = "the database is neither replicated nor persisted: a restart loses its data";
            return Err(ControlError::Conflict(why.to_owned()));
        }
        self.act(
            caller,
            id,
            OperationKind::UpgradeDatabase,
            "an upgrade",
            options,
            move |database, operation| {
                let restart = command.force_restart || database.spec.version != version;
                database.spec.version = version;
                database.generation += 1;
                operation.generation = database.generation;
                for shard in &mut database.layout.shards {
                    for server in &mut shard.servers {
                        server.version = version;
                        server.incarnation += u64::from(restart);
                    }
                }
                Ok(())
            },
        )
        .await
    }

    /// Goes on after all copies of the data were lost.
    pub async fn recover_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: RecoverDatabase,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        let shown = self.database(caller, id)?;
        if !shown.database.needs_recovery {
            return Err(ControlError::Conflict(
                "the database does not wait for recovery".to_owned(),
            ));
        }
        let mut with_files = None;
        let wanted = |server: &&Server| command.from.is_none_or(|from| from == server.id);
        for server in shown.database.layout.servers().filter(wanted) {
            if self.0.runtime.data_bytes(server.id).await.unwrap_or(0) > 0 {
                with_files = Some(server.id);
            }
        }
        if with_files.is_none() && !command.without_data {
            return Err(ControlError::Conflict(
                "no data file is left to recover from".to_owned(),
            ));
        }
        self.act(
            caller,
            id,
            OperationKind::RecoverDatabase,
            "a recovery",
            options,
            move |database, operation| {
                database.needs_recovery = false;
                database.generation += 1;
                operation.generation = database.generation;
                for shard in &mut database.layout.shards {
                    let epoch = shard.lineage.epoch + 1;
                    let primary = with_files.or(shard.lineage.primary);
                    shard.lineage = Lineage {
                        epoch,
                        primary,
                        ..Lineage::default()
                    };
                }
                Ok(())
            },
        )
        .await
    }

    /// Writes the dataset to a location.
    pub async fn export_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        request: TransferRequest,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.transfer(caller, id, TransferKind::Export, request, options).await
    }

    /// Replaces the dataset by what a location holds.
    pub async fn import_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        request: TransferRequest,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.transfer(caller, id, TransferKind::Import, request, options).await
    }

    /// Forgets how the last transfer of that kind ended. Refused while it runs.
    pub async fn reset_transfer(
        &self,
        caller: &Caller,
        id: DatabaseId,
        kind: TransferKind,
    ) -> Result<(), ControlError> {
        self.database(caller, id)?;
        self.commit(caller, move |transaction| {
            let found = transaction
                .view()
                .get::<Database>(&id)
                .ok_or(ControlError::not_found(Noun::Database))?;
            let mut database: Database = found.record.as_ref().clone();
            let runs = database.transfer(kind).is_some_and(|transfer| {
                matches!(transfer.status.phase, TransferPhase::Waiting | TransferPhase::Running)
            });
            if runs {
                return Err(ControlError::Busy {
                    operation: database.operation,
                });
            }
            // Only how it ended is forgotten: when a transfer last succeeded decides when the next scheduled one is due.
            for transfer in database.transfers.iter_mut().filter(|transfer| transfer.kind == kind) {
                transfer.status.acknowledged = true;
            }
            transaction.put(database);
            Ok(())
        })
        .await
    }

    async fn transfer(
        &self,
        caller: &Caller,
        id: DatabaseId,
        kind: TransferKind,
        request: TransferRequest,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        if request.locations.is_empty() {
            return Err(ControlError::invalid(Field::Location, "a location is needed"));
        }
        let (operation_kind, what) = match kind {
            TransferKind::Export => (OperationKind::ExportDatabase, "an export"),
            TransferKind::Backup => (OperationKind::BackupDatabase, "a backup"),
            TransferKind::Import => (OperationKind::ImportDatabase, "an import"),
        };
        let now = self.now();
        let confined = matches!(caller.scope, crate::TenantScope::Only(_));
        let accepted = self
            .act(caller, id, operation_kind, what, options, move |database, _| {
                if kind == TransferKind::Import && database.spec.cluster {
                    let why = "a file cannot be imported into a cluster: its keys belong to several servers";
                    return Err(ControlError::invalid(Field::Cluster, why));
                }
                let last_success_at = database.transfer(kind).and_then(|transfer| transfer.last_success_at);
                database.transfers.retain(|transfer| transfer.kind != kind);
                database.transfers.push(Transfer {
                    kind,
                    locations: request.locations,
                    skip_size_check: request.skip_size_check,
                    confined,
                    status: TransferStatus {
                        phase: TransferPhase::Waiting,
                        progress: 0,
                        failure: None,
                        started_at: now,
                        ended_at: None,
                        acknowledged: false,
                    },
                    last_success_at,
                    replacement: None,
                });
                Ok(())
            })
            .await?;
        crate::transfer::wake(self, id);
        Ok(accepted)
    }

    /// Starts a scheduled backup, as the part of Pilothouse that keeps schedules.
    pub(crate) async fn begin_backup(
        &self,
        database: &Database,
        location: pilothouse_model::Location,
    ) -> Result<(), ControlError> {
        let caller = Caller {
            dialect: pilothouse_model::Dialect::Local,
            actor: "schedule".to_owned(),
            scope: crate::TenantScope::All,
            tenant: database.tenant,
            settles: None,
        };
        let request = TransferRequest {
            locations: vec![location],
            skip_size_check: true,
        };
        self.transfer(
            &caller,
            database.id,
            TransferKind::Backup,
            request,
            RequestOptions::PROCESSED,
        )
        .await
        .map(|_| ())
    }

    /// Commits an operation on a database that is open for change, with what `change` does to the record.
    async fn act(
        &self,
        caller: &Caller,
        id: DatabaseId,
        kind: OperationKind,
        what: &str,
        options: RequestOptions,
        change: impl FnOnce(&mut Database, &mut Operation) -> Result<(), ControlError> + Send,
    ) -> Result<Accepted, ControlError> {
        let shown = self.database(caller, id)?;
        let recovering = kind == OperationKind::RecoverDatabase;
        if !recovering {
            check_open_for_change(&shown.database)?;
        }
        let now = self.now();
        let mut operation = operations::processed(
            caller,
            shown.database.tenant,
            kind,
            id,
            shown.database.generation,
            None,
            now,
        );
        if options.dry_run {
            let mut would_be = shown.database.as_ref().clone();
            change(&mut would_be, &mut operation)?;
            return Ok(Accepted {
                database: shown,
                operation: None,
            });
        }
        let message = format!("{what} of {} was asked for", shown.database.name);
        let actor = caller.actor.clone();
        let (database, operation) = self
            .commit(caller, move |transaction| {
                let mut database = if recovering {
                    let found = transaction
                        .view()
                        .get::<Database>(&id)
                        .ok_or(ControlError::not_found(Noun::Database))?;
                    found.record.as_ref().clone()
                } else {
                    let generation = transaction
                        .view()
                        .get::<Database>(&id)
                        .map_or(0, |database| database.generation);
                    changeable(transaction, id, generation)?
                };
                change(&mut database, &mut operation)?;
                database.operation = Some(operation.id);
                let event = events::about(
                    &database,
                    "database-action",
                    Severity::Info,
                    &actor,
                    Some(operation.id),
                    message,
                );
                transaction.append_event(now, event);
                transaction.put(operation.clone());
                transaction.put(database.clone());
                Ok((Arc::new(database), operation))
            })
            .await?;
        self.wake(id);
        self.answer(caller, database, operation, options.answer).await
    }
}
