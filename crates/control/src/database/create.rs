//! Making a database: validate, plan, reserve, commit.

use std::sync::Arc;

use pilothouse_model::{
    AnswerPoint, Database, DatabaseGroup, DatabaseId, DatabaseSpec, GroupId, Layout, Operation, OperationKind,
    Severity, Subject, TlsMode,
};
use pilothouse_store::{Transaction, View};

use super::room::Room;
use crate::commands::{Accepted, CreateDatabase, RequestOptions};
use crate::groups::{NewGroup, check_reach};
use crate::ports::Promise;
use crate::{Caller, Control, ControlError, Field, Noun, documents, events, operations};

/// Length of generated secrets: 48 characters of 64 are 288 bits.
pub(super) const SECRET_LENGTH: usize = 48;

/// A database that was made, and the operation that carries its making out.
pub(crate) type Made = (Arc<Database>, Operation);

/// A database that was validated and planned, with what is reserved for it.
struct Draft<'a> {
    database: Database,
    command: CreateDatabase,
    _promises: Vec<Promise<'a>>,
}

impl Control {
    /// Makes a database. Answers at the point that `options` names; the record and the operation are durable before.
    /// Not cancel-safe: dialects run it detached from the connection.
    pub async fn create_database(
        &self,
        caller: &Caller,
        command: CreateDatabase,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        self.create_database_within(caller, command, Room::default(), options)
            .await
    }

    /// As [`Control::create_database`], where there is room for it.
    pub async fn create_database_within(
        &self,
        caller: &Caller,
        command: CreateDatabase,
        room: Room,
        options: RequestOptions,
    ) -> Result<Accepted, ControlError> {
        if options.dry_run {
            let view = self.store().view();
            let database = self.checked_draft(caller, &view, &command).await?;
            room.check(&view, database.id, &database.spec)?;
            return Ok(Accepted {
                database: self.shown(&view, &Arc::new(database)),
                operation: None,
            });
        }
        let made = self.create_databases(caller, vec![command], None, room).await?;
        match made.into_iter().next() {
            Some((database, operation)) => self.answer(caller, database, operation, options.answer).await,
            None => Err(ControlError::internal("a creation of nothing")),
        }
    }

    /// Makes databases, and the group that they are made in where one is given, all in one commit or none at all.
    pub(crate) async fn create_databases(
        &self,
        caller: &Caller,
        commands: Vec<CreateDatabase>,
        group: Option<NewGroup>,
        room: Room,
    ) -> Result<Vec<Made>, ControlError> {
        let mut drafts = Vec::new();
        let outcome = async {
            for command in commands {
                drafts.push(self.prepare(caller, command).await?);
            }
            self.commit_creation(caller, &drafts, group, room).await
        }
        .await;
        match outcome {
            Ok(made) => {
                for (database, _) in &made {
                    self.wake(database.id);
                }
                Ok(made)
            }
            Err(error) => {
                for draft in &drafts {
                    self.give_endpoint_back(draft.database.id).await;
                }
                Err(error)
            }
        }
    }

    async fn checked_draft(
        &self,
        caller: &Caller,
        view: &View,
        command: &CreateDatabase,
    ) -> Result<Database, ControlError> {
        self.check_spec(view, &command.spec)?;
        let (port, source) = (command.spec.network.port, command.spec.replica_of.as_ref());
        self.check_source(view, None, port, source).await?;
        self.check_wire_id(caller, view, command)?;
        Ok(self.draft(caller, DatabaseId::new(), command))
    }

    /// Validates, plans and reserves. What is reserved is freed when the draft is dropped, but for the endpoint.
    async fn prepare(&self, caller: &Caller, command: CreateDatabase) -> Result<Draft<'_>, ControlError> {
        let view = self.store().view();
        let mut database = self.checked_draft(caller, &view, &command).await?;
        let endpoint = self.reserve_endpoint(&view, &mut database).await?;
        match self.first_layout(&view, &database.spec).await {
            Ok((layout, mut promises)) => {
                database.layout = layout;
                promises.push(endpoint);
                Ok(Draft {
                    database,
                    command,
                    _promises: promises,
                })
            }
            Err(error) => {
                self.give_endpoint_back(database.id).await;
                Err(error)
            }
        }
    }

    fn draft(&self, caller: &Caller, id: DatabaseId, command: &CreateDatabase) -> Database {
        let now = self.now();
        let mut spec = command.spec.clone();
        spec.network.address = self.0.settings.advertise_address;
        Database {
            id,
            tenant: caller.tenant,
            group: command.group,
            name: command.name.clone(),
            origin: caller.dialect,
            created_at: now,
            changed_at: now,
            generation: 1,
            settled_generation: 0,
            spec,
            layout: Layout::default(),
            replication_secret: self.seal(&self.generate_secret(SECRET_LENGTH)),
            topology_epoch: 1,
            operation: None,
            was_active: false,
            creation_error: None,
            needs_recovery: false,
            deleted_at: None,
            transfers: Vec::new(),
            conditions: Vec::new(),
        }
    }

    fn check_wire_id(&self, caller: &Caller, view: &View, command: &CreateDatabase) -> Result<(), ControlError> {
        let Some(wire_id) = &command.wire_id else { return Ok(()) };
        let scheme = self
            .database_scheme(caller)
            .ok_or_else(|| ControlError::invalid(Field::WireId, "this API names no databases by numbers"))?;
        if view.subject_of(scheme, wire_id).is_some() {
            return Err(ControlError::AlreadyExists {
                what: Noun::Database,
                field: "id",
            });
        }
        Ok(())
    }

    fn database_scheme(&self, caller: &Caller) -> Option<&'static str> {
        self.schemes()
            .iter()
            .find(|scheme| {
                scheme.kind == crate::SubjectKind::Database && scheme.name.starts_with(caller.dialect.as_str())
            })
            .map(|scheme| scheme.name)
    }

    fn check_certificate(&self, spec: &DatabaseSpec) -> Result<(), ControlError> {
        if spec.network.tls == TlsMode::Enabled && self.certificate(crate::certificates::ENDPOINTS).is_none() {
            let why = "there is no certificate for TLS endpoints";
            return Err(ControlError::invalid(Field::Tls, why));
        }
        Ok(())
    }

    async fn commit_creation(
        &self,
        caller: &Caller,
        drafts: &[Draft<'_>],
        group: Option<NewGroup>,
        room: Room,
    ) -> Result<Vec<Made>, ControlError> {
        for draft in drafts {
            self.check_certificate(&draft.database.spec)?;
        }
        self.commit(caller, |transaction| {
            let group = group
                .map(|group| self.put_group(transaction, caller, group))
                .transpose()?;
            drafts
                .iter()
                .map(|draft| {
                    room.check(transaction.view(), draft.database.id, &draft.database.spec)?;
                    self.put_created(transaction, caller, draft, group)
                })
                .collect()
        })
        .await
    }

    fn put_created(
        &self,
        transaction: &mut Transaction<'_>,
        caller: &Caller,
        draft: &Draft<'_>,
        group: Option<GroupId>,
    ) -> Result<Made, ControlError> {
        let now = self.now();
        let mut database = draft.database.clone();
        database.group = group.or(database.group);
        if let Some(group) = database
            .group
            .and_then(|group| transaction.view().get::<DatabaseGroup>(&group))
        {
            check_reach(&database, group)?;
        }
        let subject = Subject::Database(database.id);
        let port = database.spec.network.port;
        if transaction.view().database_on_port(port).is_some() {
            return Err(ControlError::AlreadyExists {
                what: Noun::Database,
                field: "port",
            });
        }
        let operation = operations::processed(
            caller,
            database.tenant,
            OperationKind::CreateDatabase,
            database.id,
            1,
            None,
            now,
        );
        database.operation = Some(operation.id);
        let event = events::about(
            &database,
            "database-created",
            Severity::Info,
            &caller.actor,
            Some(operation.id),
            format!("database {} was asked for", database.name),
        );
        let schemes = self.schemes();
        let scheme = self.database_scheme(caller);
        schemes.allocate(transaction, subject, scheme.zip(draft.command.wire_id.clone()))?;
        for server in database.layout.servers() {
            schemes.allocate(transaction, Subject::Server(server.id), None)?;
        }
        for document in draft.command.documents.clone() {
            documents::write(transaction, caller.dialect, subject, document)?;
        }
        transaction.append_event(now, event);
        transaction.put(operation.clone());
        transaction.put(database.clone());
        Ok((Arc::new(database), operation))
    }

    /// Answers at the wanted point: at once, or when the operation is final.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        database: Arc<Database>,
        operation: Operation,
        point: AnswerPoint,
    ) -> Result<Accepted, ControlError> {
        if point != AnswerPoint::Provisioned {
            let view = self.store().view();
            return Ok(Accepted {
                database: self.shown(&view, &database),
                operation: Some(operation),
            });
        }
        let ended = self
            .wait_operation(operation.id, self.0.settings.policy.change_deadline)
            .await;
        let operation = ended.map_or(operation, |ended| (*ended).clone());
        let shown = self.database(caller, database.id)?;
        Ok(Accepted {
            database: shown,
            operation: Some(operation),
        })
    }
}
