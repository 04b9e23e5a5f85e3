//! Changing what is asked of a database.

use std::sync::Arc;

use pilothouse_model::{
    Database, DatabaseId, DatabaseSpec, EventDraft, Operation, OperationKind, Severity, Subject, Timestamp,
};
use pilothouse_store::{Transaction, View};

use super::layout::{Growth, apply_change};
use super::room::Room;
use crate::commands::{Accepted, RequestOptions, UpdateDatabase};
use crate::{Caller, Control, ControlError, Field, GroupChange, Noun, documents, events, groups, operations};

/// A change that was checked and planned, to be committed.
struct Change {
    id: DatabaseId,
    command: UpdateDatabase,
    room: Room,
    /// What is to become of its group.
    group: Option<GroupChange>,
    growth: Growth,
}

impl Control {
    /// Changes what is asked of a database. A spec equal to the present one leads to no operation; name and documents are written.
    /// Refused as busy while another operation runs or when the database changed since `expected_generation`.
    pub async fn update_database(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: UpdateDatabase,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.update_database_within(caller, id, command, Room::default(), options)
            .await
    }

    /// As [`Control::update_database`], where there is room for it.
    pub async fn update_database_within(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: UpdateDatabase,
        room: Room,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.update_database_along(caller, id, command, room, options, None)
            .await
    }

    /// As [`Control::update_database`], and changes the group of the database, all in one commit or nothing at all.
    pub async fn update_database_and_group(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: UpdateDatabase,
        group: GroupChange,
    ) -> Result<Accepted, ControlError> {
        let (room, options) = (Room::default(), RequestOptions::PROCESSED);
        self.update_database_along(caller, id, command, room, options, Some(group))
            .await
    }

    async fn update_database_along(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: UpdateDatabase,
        room: Room,
        options: RequestOptions,
        group: Option<GroupChange>,
    ) -> Result<Accepted, ControlError> {
        let shown = self.database(caller, id)?;
        let view = self.store().view();
        let before = Arc::clone(&shown.database);
        self.check_change(&view, &before, &command.spec).await?;
        room.check(&view, id, &command.spec)?;
        if options.dry_run {
            return Ok(self.would_be(&view, &before, command));
        }
        let (growth, _promises) = self.growth(&view, &before, &command.spec).await?;
        let change = Change {
            id,
            command,
            room,
            group,
            growth,
        };
        let (database, operation) = self
            .commit(caller, |transaction| self.put_update(transaction, caller, change))
            .await?;
        self.wake(id);
        match operation {
            Some(operation) => self.answer(caller, database, operation, options.answer).await,
            None => Ok(Accepted {
                database: self.database(caller, id)?,
                operation: None,
            }),
        }
    }

    fn put_update(
        &self,
        transaction: &mut Transaction<'_>,
        caller: &Caller,
        change: Change,
    ) -> Result<(Arc<Database>, Option<Operation>), ControlError> {
        let now = self.now();
        let Change {
            id,
            command,
            room,
            group,
            growth,
        } = change;
        let mut database = changeable(transaction, id, command.expected_generation)?;
        let (changed, described) = (database.spec != command.spec, !command.documents.is_empty());
        if let Some((group, change)) = database.group.zip(group) {
            groups::put_change(transaction, caller, group, change, now)?;
        }
        for document in command.documents {
            documents::write(transaction, caller.dialect, Subject::Database(id), document)?;
        }
        let former = std::mem::replace(&mut database.name, command.name);
        let renamed = database.name != former;
        if renamed {
            let event = renamed_event(&database, former.as_str(), &caller.actor);
            transaction.append_event(now, event);
        }
        if !changed {
            if renamed || described {
                database.changed_at = now;
            }
            if described {
                transaction.append_event(now, described_event(&database, &caller.actor));
            }
            transaction.put(database.clone());
            return Ok((Arc::new(database), None));
        }
        room.check(transaction.view(), id, &command.spec)?;
        for server in growth.servers() {
            self.schemes().allocate(transaction, Subject::Server(server.id), None)?;
        }
        apply_change(&mut database, command.spec, growth);
        database.changed_at = now;
        let operation = put_operation(transaction, caller, &database, now);
        database.operation = Some(operation.id);
        transaction.put(database.clone());
        Ok((Arc::new(database), Some(operation)))
    }

    /// Checks what can be judged before the commit.
    async fn check_change(&self, view: &View, before: &Database, wanted: &DatabaseSpec) -> Result<(), ControlError> {
        check_open_for_change(before)?;
        check_fixed(&before.spec, wanted)?;
        if before.spec.version == wanted.version {
            self.check_spec_of_present(view, wanted)?;
        } else {
            self.check_spec(view, wanted)?;
        }
        if before.spec.replica_of == wanted.replica_of {
            return Ok(());
        }
        let port = before.endpoint().port;
        self.check_source(view, Some(before.id), port, wanted.replica_of.as_ref())
            .await
    }

    fn would_be(&self, view: &View, before: &Database, command: UpdateDatabase) -> Accepted {
        let mut would_be = before.clone();
        would_be.name = command.name;
        would_be.spec = command.spec;
        Accepted {
            database: self.shown(view, &Arc::new(would_be)),
            operation: None,
        }
    }
}

fn renamed_event(database: &Database, former: &str, actor: &str) -> EventDraft {
    let name = database.name.as_str();
    let message = format!("{former} is called {name} now");
    let mut event = events::about(database, "database-renamed", Severity::Info, actor, None, message);
    event.facts["before"] = former.into();
    event.facts["after"] = name.into();
    event
}

/// Only what the API keeps of its own was changed.
fn described_event(database: &Database, actor: &str) -> EventDraft {
    let message = format!("settings of {} were changed", database.name);
    events::about(database, "database-updated", Severity::Info, actor, None, message)
}

/// The operation that carries a change out, and the event that tells of it.
fn put_operation(transaction: &mut Transaction<'_>, caller: &Caller, database: &Database, now: Timestamp) -> Operation {
    let (kind, generation) = (OperationKind::UpdateDatabase, database.generation);
    let operation = operations::processed(caller, database.tenant, kind, database.id, generation, None, now);
    let message = format!("a change of {} was asked for", database.name);
    let event = events::about(
        database,
        "database-updated",
        Severity::Info,
        &caller.actor,
        Some(operation.id),
        message,
    );
    transaction.append_event(now, event);
    transaction.put(operation.clone());
    operation
}

/// What stays as it was created.
fn check_fixed(before: &DatabaseSpec, wanted: &DatabaseSpec) -> Result<(), ControlError> {
    let fixed = |field, what: &str| {
        Err(ControlError::invalid(
            field,
            format!("{what} cannot be changed after creation"),
        ))
    };
    if before.engine != wanted.engine {
        return fixed(Field::Engine, "the engine");
    }
    if before.network.port != wanted.network.port || before.network.address != wanted.network.address {
        return fixed(Field::Port, "the address of the endpoint");
    }
    if before.cluster != wanted.cluster {
        return fixed(Field::Cluster, "whether a database is a cluster");
    }
    Ok(())
}

/// Refuses a change of a database that is being created, changed or deleted.
pub(crate) fn check_open_for_change(database: &Database) -> Result<(), ControlError> {
    if database.deleted_at.is_some() || database.operation.is_some() || !database.was_active {
        return Err(ControlError::Busy {
            operation: database.operation,
        });
    }
    Ok(())
}

/// The database as staged, if it can be changed from `expected_generation`.
pub(crate) fn changeable(
    transaction: &Transaction<'_>,
    id: DatabaseId,
    expected_generation: u64,
) -> Result<Database, ControlError> {
    let database = transaction
        .view()
        .get::<Database>(&id)
        .ok_or(ControlError::not_found(Noun::Database))?;
    check_open_for_change(database)?;
    if database.generation != expected_generation {
        return Err(ControlError::Busy { operation: None });
    }
    Ok(database.record.as_ref().clone())
}
