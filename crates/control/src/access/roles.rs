//! Roles: what their holders may manage, and one half of what opens a database.

use std::sync::Arc;

use pilothouse_model::{AclRule, AclRuleId, Database, DatabaseId, ManagementRole, Role, RoleId, Subject};
use pilothouse_store::{Transaction, Urgency, View};

use super::{administrators, databases_open_to, event, keeps_an_administrator, within_reach};
use crate::{Caller, Control, ControlError, DocumentWrite, Field, Noun};

/// Databases changed in one commit when a role goes: a commit holds at most 100 rows.
const BINDINGS_PER_COMMIT: usize = 40;

/// The roles that always exist, in the order of their numbers.
const BUILT_IN: [(&str, ManagementRole); 6] = [
    ("Admin", ManagementRole::Admin),
    ("Cluster Member", ManagementRole::ClusterMember),
    ("Cluster Viewer", ManagementRole::ClusterViewer),
    ("DB Member", ManagementRole::DbMember),
    ("DB Viewer", ManagementRole::DbViewer),
    ("None", ManagementRole::None),
];

/// The ACL rules that always exist, in the order of their numbers.
const BUILT_IN_RULES: [(&str, &str); 3] = [
    ("Full Access", "+@all ~*"),
    ("Read Only", "+@read ~*"),
    ("Not Dangerous", "+@all -@dangerous ~*"),
];

/// A role to be made.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Its name, unique.
    pub name: String,
    /// What its holders may manage.
    pub management: ManagementRole,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// What is to become of a role; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// Another name.
    pub name: Option<String>,
    /// Another word for what its holders may manage.
    pub management: Option<ManagementRole>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

impl Control {
    /// Makes the roles and ACL rules that always exist, where they are missing. To be called before anybody makes others, so that they
    /// have the first numbers.
    pub async fn ensure_built_in_access(&self) -> Result<(), ControlError> {
        self.transact(Urgency::Normal, |transaction| {
            for (name, management) in BUILT_IN {
                if !transaction
                    .view()
                    .all::<Role>()
                    .any(|role| role.built_in && role.name == name)
                {
                    let role = Role {
                        id: RoleId::new(),
                        tenant: None,
                        name: name.to_owned(),
                        management,
                        grants: Vec::new(),
                        built_in: true,
                    };
                    self.schemes().allocate(transaction, Subject::Role(role.id), None)?;
                    transaction.put(role);
                }
            }
            for (name, rule) in BUILT_IN_RULES {
                if !transaction
                    .view()
                    .all::<AclRule>()
                    .any(|rule| rule.built_in && rule.name == name)
                {
                    let rule = AclRule {
                        id: AclRuleId::new(),
                        tenant: None,
                        name: name.to_owned(),
                        rule: rule.to_owned(),
                        built_in: true,
                    };
                    self.schemes().allocate(transaction, Subject::AclRule(rule.id), None)?;
                    transaction.put(rule);
                }
            }
            // Numbers in APIs that this store did not know when the rules were made.
            let rules: Vec<Subject> = transaction
                .view()
                .all::<AclRule>()
                .map(|rule| Subject::AclRule(rule.id))
                .collect();
            for rule in rules {
                self.schemes().complete(transaction, rule);
            }
            Ok(())
        })
        .await
    }

    /// Every role of the operator, oldest first.
    pub fn roles(&self) -> Vec<Arc<Role>> {
        self.store()
            .view()
            .all::<Role>()
            .filter(|role| role.tenant.is_none())
            .map(|role| Arc::new((***role).clone()))
            .collect()
    }

    /// The role of the operator with that id.
    pub fn role(&self, id: RoleId) -> Option<Arc<Role>> {
        self.store()
            .view()
            .get::<Role>(&id)
            .filter(|role| role.tenant.is_none())
            .map(|role| Arc::new((***role).clone()))
    }

    /// Makes a role.
    ///
    /// # Errors
    /// Name taken.
    pub async fn create_role(&self, caller: &Caller, new: NewRole) -> Result<Arc<Role>, ControlError> {
        let role = Role {
            id: RoleId::new(),
            tenant: None,
            name: new.name,
            management: new.management,
            grants: Vec::new(),
            built_in: false,
        };
        self.make_role(caller, role, new.documents).await
    }

    /// Makes a role as it stands there, checked against the others.
    pub(super) async fn make_role(
        &self,
        caller: &Caller,
        role: Role,
        documents: Vec<DocumentWrite>,
    ) -> Result<Arc<Role>, ControlError> {
        let now = self.now();
        self.commit(caller, |transaction| {
            check(transaction.view(), &role)?;
            let subject = Subject::Role(role.id);
            self.schemes().allocate(transaction, subject, None)?;
            for document in documents {
                crate::documents::write(transaction, caller.dialect, subject, document)?;
            }
            transaction.append_event(now, event(caller, role.tenant, "role-created", subject, &role.name));
            transaction.put(role.clone());
            Ok(())
        })
        .await?;
        // Nobody holds it yet, but that its databases know it is to be seen soon.
        self.wake_each(role.grants.iter().flat_map(|grant| grant.databases.iter().copied()));
        Ok(Arc::new(role))
    }

    /// Checks a role that [`Control::create_role`] would make, and makes nothing.
    pub fn check_new_role(&self, new: &NewRole) -> Result<(), ControlError> {
        let role = Role {
            id: RoleId::new(),
            tenant: None,
            name: new.name.clone(),
            management: new.management,
            grants: Vec::new(),
            built_in: false,
        };
        check(&self.store().view(), &role)
    }

    /// Changes a role.
    ///
    /// # Errors
    /// Name taken; [`ControlError::Forbidden`] for a built-in one; [`ControlError::Conflict`] when nobody would be left who may manage
    /// everything.
    pub async fn update_role(
        &self,
        caller: &Caller,
        id: RoleId,
        change: RoleChange,
    ) -> Result<Arc<Role>, ControlError> {
        let now = self.now();
        let role = self
            .commit(caller, |transaction| {
                let mut role = changeable(transaction.view(), caller, id)?;
                role.name = change.name.unwrap_or(role.name);
                role.management = change.management.unwrap_or(role.management);
                check(transaction.view(), &role)?;
                let before = administrators(transaction.view());
                transaction.put(role.clone());
                keeps_an_administrator(before, transaction.view())?;
                for document in change.documents {
                    crate::documents::write(transaction, caller.dialect, Subject::Role(id), document)?;
                }
                transaction.append_event(
                    now,
                    event(caller, role.tenant, "role-updated", Subject::Role(id), &role.name),
                );
                Ok(role)
            })
            .await?;
        Ok(Arc::new(role))
    }

    /// Removes a role and its bindings from every database.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`] for a built-in one; [`ControlError::Conflict`] while users hold it.
    pub async fn delete_role(&self, caller: &Caller, id: RoleId) -> Result<(), ControlError> {
        let now = self.now();
        loop {
            let (databases, more) = self
                .transact(Urgency::Normal, |transaction| {
                    let role = changeable(transaction.view(), caller, id)?;
                    if transaction.view().users_with_role(id).next().is_some() {
                        return Err(ControlError::Conflict("the role is held by users".to_owned()));
                    }
                    let granted = databases_open_to(transaction.view(), &[id]);
                    let bound = transaction.view().databases_bound_to_role(id);
                    let bound: Vec<DatabaseId> = bound.map(|database| database.id).collect();
                    let now_unbound: Vec<DatabaseId> = bound.iter().copied().take(BINDINGS_PER_COMMIT).collect();
                    for database in &now_unbound {
                        unbind(transaction, *database, id, now);
                    }
                    let more = bound.len() > now_unbound.len();
                    if !more {
                        let subject = Subject::Role(id);
                        transaction.delete::<Role>(&id);
                        transaction.delete_documents_of(&subject);
                        transaction.release_wire_ids(&subject);
                        transaction.append_event(now, event(caller, role.tenant, "role-deleted", subject, &role.name));
                        if let Some(settlement) = &caller.settles {
                            settlement.settle(transaction, now)?;
                        }
                    }
                    Ok((granted, more))
                })
                .await?;
            self.wake_each(databases);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Takes the bindings of a role away from a database: a change of what is asked of it, carried out by its loop.
fn unbind(transaction: &mut Transaction<'_>, database: DatabaseId, role: RoleId, now: pilothouse_model::Timestamp) {
    let Some(mut database) = transaction
        .view()
        .get::<Database>(&database)
        .map(|database| database.record.as_ref().clone())
    else {
        return;
    };
    database.spec.access.bindings.retain(|binding| binding.role != role);
    database.generation += 1;
    database.changed_at = now;
    transaction.put(database);
}

pub(super) fn changeable(view: &View, caller: &Caller, id: RoleId) -> Result<Role, ControlError> {
    let role = view.get::<Role>(&id).filter(|role| within_reach(role.tenant, caller));
    let role = role.ok_or(ControlError::not_found(Noun::Role))?;
    if role.built_in {
        return Err(ControlError::Forbidden(
            "a built-in role can be neither changed nor deleted".to_owned(),
        ));
    }
    Ok((***role).clone())
}

pub(super) fn check(view: &View, role: &Role) -> Result<(), ControlError> {
    let punctuation = |c: char| " _[]()@,.;#-".contains(c);
    let allowed = |c: char| c.is_ascii_alphanumeric() || punctuation(c);
    if role.name.is_empty() || role.name.len() > 256 || !role.name.chars().all(allowed) {
        let why = "1 to 256 letters, digits, spaces and _ [ ] ( ) @ , . ; # -";
        return Err(ControlError::invalid(Field::Name, why));
    }
    let mut others = view.all::<Role>().filter(|other| other.tenant == role.tenant);
    match others.find(|other| other.name == role.name) {
        Some(other) if other.id != role.id => Err(ControlError::AlreadyExists {
            what: Noun::Role,
            field: "name",
        }),
        _ => Ok(()),
    }
}
