//! Groups of databases: made with their first databases, changed, removed when they are empty.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_model::{Cidr, Database, DatabaseGroup, DatabaseId, EventDraft, GroupId, Severity, Subject, Timestamp};
use pilothouse_store::{Transaction, Urgency};

use crate::database::Room;
use crate::{Caller, Control, ControlError, CreateDatabase, DocumentWrite, Field, Noun, documents};

/// Databases that can be made along with a group: one commit makes them all, and a commit is bounded.
pub(crate) const GROUP_DATABASES_MAX: usize = 10;
/// Time between two looks for groups whose time has come.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(250);

/// Make a group.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    /// Its name, which the dialect has checked.
    pub name: String,
    /// From where clients may connect to its databases; empty for anywhere.
    pub source_allow: Vec<Cidr>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
    /// The databases that it begins with, at most ten.
    pub databases: Vec<CreateDatabase>,
}

/// Change a group.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// Its new name.
    pub name: Option<String>,
    /// From where clients may connect to its databases from now on.
    pub source_allow: Option<Vec<Cidr>>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// A group in the making, without its databases.
pub(crate) struct NewGroup {
    group: DatabaseGroup,
    documents: Vec<DocumentWrite>,
}

impl Control {
    /// A group of the caller's API and tenant. One in removal is found until it is gone.
    pub fn group(&self, caller: &Caller, id: GroupId) -> Result<Arc<DatabaseGroup>, ControlError> {
        let view = self.store().view();
        let group = view.get::<DatabaseGroup>(&id);
        group
            .filter(|group| group.tenant == caller.tenant && group.dialect == caller.dialect)
            .map(|group| Arc::clone(&group.record))
            .ok_or(ControlError::not_found(Noun::Group))
    }

    /// The groups of the caller's API and tenant, oldest first.
    pub fn groups(&self, caller: &Caller) -> Vec<Arc<DatabaseGroup>> {
        let view = self.store().view();
        view.groups_of_tenant(caller.tenant)
            .filter(|group| group.dialect == caller.dialect)
            .map(|group| Arc::clone(&group.record))
            .collect()
    }

    /// Makes a group and its first databases, all or nothing. Answers when they are durable.
    pub async fn create_group(
        &self,
        caller: &Caller,
        command: CreateGroup,
    ) -> Result<(GroupId, Vec<Arc<Database>>), ControlError> {
        let CreateGroup {
            name,
            source_allow,
            documents,
            databases,
        } = command;
        if databases.len() > GROUP_DATABASES_MAX {
            let message = format!("at most {GROUP_DATABASES_MAX} databases can be made in one request");
            return Err(ControlError::Quota(message));
        }
        let now = self.now();
        let group = DatabaseGroup {
            id: GroupId::new(),
            tenant: caller.tenant,
            dialect: caller.dialect,
            name,
            source_allow,
            created_at: now,
            changed_at: now,
            deleted_at: None,
            gone_at: None,
        };
        let id = group.id;
        let new = NewGroup { group, documents };
        let made = self
            .create_databases(caller, databases, Some(new), Room::default())
            .await?;
        Ok((id, made.into_iter().map(|(database, _)| database).collect()))
    }

    pub(crate) fn put_group(
        &self,
        transaction: &mut Transaction<'_>,
        caller: &Caller,
        new: NewGroup,
    ) -> Result<GroupId, ControlError> {
        let NewGroup { group, documents } = new;
        let subject = Subject::Group(group.id);
        self.schemes().allocate(transaction, subject, None)?;
        for document in documents {
            documents::write(transaction, caller.dialect, subject, document)?;
        }
        transaction.append_event(group.created_at, event(caller, &group, "group-created", "was made"));
        transaction.put(group.clone());
        Ok(group.id)
    }

    /// Changes a group. Its databases follow a change of its sources.
    pub async fn update_group(&self, caller: &Caller, id: GroupId, change: GroupChange) -> Result<(), ControlError> {
        let now = self.now();
        let concerned = self
            .commit(caller, |transaction| put_change(transaction, caller, id, change, now))
            .await?;
        for database in concerned {
            self.wake(database);
        }
        Ok(())
    }

    /// Removes a group without databases. The record stays for `farewell`, so that clients see it going, then it is gone with all its
    /// documents and ids.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] while it has databases that are not in deletion; [`ControlError::Busy`] when it is in removal already.
    pub async fn delete_group(&self, caller: &Caller, id: GroupId, farewell: Duration) -> Result<(), ControlError> {
        let now = self.now();
        self.commit(caller, |transaction| {
            let mut group = living(transaction, caller, id)?;
            let occupied = transaction
                .view()
                .databases_of_group(id)
                .any(|database| database.deleted_at.is_none());
            if occupied {
                return Err(ControlError::Conflict("it has databases".to_owned()));
            }
            group.deleted_at = Some(now);
            group.gone_at = Some(now.plus(farewell));
            group.changed_at = now;
            transaction.append_event(
                now,
                event(caller, &group, "group-deletion-requested", "is to be removed"),
            );
            transaction.put(group);
            Ok(())
        })
        .await
    }

    async fn remove_gone_groups(&self) {
        let now = self.now();
        let due = |group: &DatabaseGroup| group.gone_at.is_some_and(|at| at <= now);
        let view = self.store().view();
        let gone: Vec<GroupId> = view
            .all::<DatabaseGroup>()
            .filter(|group| due(group) && view.databases_of_group(group.id).next().is_none())
            .map(|group| group.id)
            .collect();
        for id in gone {
            let removed = self.transact(Urgency::Normal, move |transaction| {
                let subject = Subject::Group(id);
                transaction.delete::<DatabaseGroup>(&id);
                transaction.delete_documents_of(&subject);
                transaction.release_wire_ids(&subject);
                Ok(())
            });
            if let Err(error) = removed.await {
                tracing::warn!(group = %id, %error, "a removed group stays for now");
            }
        }
    }
}

/// Removes groups whose time has come, until control stops.
pub(crate) fn start_removing(control: &Control) {
    let control = control.clone();
    let tasks = control.0.tasks.clone();
    tasks.spawn(async move {
        let stopped = control.0.tasks.stopped().clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(REMOVAL_INTERVAL) => control.remove_gone_groups().await,
                () = stopped.cancelled() => return,
            }
        }
    });
}

/// Writes the change of a group; tells which databases follow it.
pub(crate) fn put_change(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    id: GroupId,
    change: GroupChange,
    now: Timestamp,
) -> Result<Vec<DatabaseId>, ControlError> {
    let mut group = living(transaction, caller, id)?;
    if let Some(name) = change.name {
        group.name = name;
    }
    if let Some(sources) = change.source_allow {
        group.source_allow = sources;
        for database in transaction.view().databases_of_group(id) {
            check_reach(database, &group)?;
        }
    }
    group.changed_at = now;
    for document in change.documents {
        documents::write(transaction, caller.dialect, Subject::Group(id), document)?;
    }
    transaction.append_event(now, event(caller, &group, "group-updated", "was changed"));
    transaction.put(group);
    let databases = transaction.view().databases_of_group(id);
    Ok(databases.map(|database| database.id).collect())
}

/// Clients of a cluster reach its servers directly: nobody stands in front of them who could keep a source list.
pub(crate) fn check_reach(database: &Database, group: &DatabaseGroup) -> Result<(), ControlError> {
    if database.spec.cluster && !group.source_allow.is_empty() {
        let why = format!("{} is a cluster, which is reached from everywhere", database.name);
        return Err(ControlError::invalid(Field::SourceAllow, why));
    }
    Ok(())
}

/// A group of the caller that is not in removal.
fn living(transaction: &Transaction<'_>, caller: &Caller, id: GroupId) -> Result<DatabaseGroup, ControlError> {
    let found = transaction.view().get::<DatabaseGroup>(&id);
    let group = found
        .filter(|group| group.tenant == caller.tenant && group.dialect == caller.dialect)
        .map(|group| group.record.as_ref().clone())
        .ok_or(ControlError::not_found(Noun::Group))?;
    if group.deleted_at.is_some() {
        return Err(ControlError::Busy { operation: None });
    }
    Ok(group)
}

fn event(caller: &Caller, group: &DatabaseGroup, kind: &str, what: &str) -> EventDraft {
    EventDraft {
        kind: kind.to_owned(),
        severity: Severity::Info,
        subject: Subject::Group(group.id),
        tenant: Some(group.tenant),
        actor: caller.actor.clone(),
        operation: None,
        message: format!("group {} {what}", group.name),
        facts: serde_json::json!({ "name": group.name }),
    }
}
