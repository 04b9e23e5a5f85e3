//! Users, roles and rules of a tenant: they open the tenant's own databases and nothing else.
//!
//! A role names its databases itself, so that a change of it is one row, however many databases it opens. Their loops follow.

use std::sync::Arc;

use pilothouse_model::{
    AclRule, Database, DatabaseId, Grant, ManagementRole, Role, RoleId, Secret, Subject, User, UserId, UserStatus,
};
use pilothouse_store::{Revision, View};

use super::{databases_open_to, event, roles};
use crate::{Caller, Control, ControlError, Field, NewAclRule, Noun};

/// A login in databases, to be made.
#[derive(Clone, Debug)]
pub struct NewTenantUser {
    /// Its name.
    pub name: String,
    /// The role it holds.
    pub role: RoleId,
    /// Its password.
    pub password: Secret,
}

/// What is to become of a tenant's role; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TenantRoleChange {
    /// Another name.
    pub name: Option<String>,
    /// Other grants, all of them.
    pub grants: Option<Vec<Grant>>,
}

impl Control {
    /// The rules that the caller's tenant can grant, oldest first: the built-in ones and its own.
    pub fn tenant_acl_rules(&self, caller: &Caller) -> Vec<Arc<AclRule>> {
        let view = self.store().view();
        let rules = view.all::<AclRule>();
        rules
            .filter(|rule| is_offered(rule, caller))
            .map(|rule| Arc::clone(&rule.record))
            .collect()
    }

    /// The roles of the caller's tenant, oldest first.
    pub fn tenant_roles(&self, caller: &Caller) -> Vec<Arc<Role>> {
        let view = self.store().view();
        let roles = view.all::<Role>().filter(|role| role.tenant == Some(caller.tenant));
        roles.map(|role| Arc::clone(&role.record)).collect()
    }

    /// The users of the caller's tenant, oldest first.
    pub fn tenant_users(&self, caller: &Caller) -> Vec<Arc<User>> {
        let view = self.store().view();
        let users = view.all::<User>().filter(|user| user.tenant == Some(caller.tenant));
        users.map(|user| Arc::clone(&user.record)).collect()
    }

    /// Makes a rule of the caller's tenant.
    ///
    /// # Errors
    /// Name taken, or a text that the engine would not take.
    pub async fn create_tenant_acl_rule(&self, caller: &Caller, new: NewAclRule) -> Result<Arc<AclRule>, ControlError> {
        self.make_acl_rule(caller, Some(caller.tenant), new).await
    }

    /// Makes a role of the caller's tenant. Nobody holds it yet.
    ///
    /// # Errors
    /// Name taken; a rule or database that the tenant does not have; a database that is named twice.
    pub async fn create_tenant_role(
        &self,
        caller: &Caller,
        name: String,
        grants: Vec<Grant>,
    ) -> Result<Arc<Role>, ControlError> {
        check_grants(&self.store().view(), caller, &grants)?;
        let role = Role {
            id: RoleId::new(),
            tenant: Some(caller.tenant),
            name,
            management: ManagementRole::None,
            grants,
            built_in: false,
        };
        self.make_role(caller, role, Vec::new()).await
    }

    /// Changes a role of the caller's tenant; the logins of its holders follow.
    ///
    /// # Errors
    /// As [`Control::create_tenant_role`].
    pub async fn update_tenant_role(
        &self,
        caller: &Caller,
        id: RoleId,
        change: TenantRoleChange,
    ) -> Result<(), ControlError> {
        let now = self.now();
        let databases = self
            .commit(caller, |transaction| {
                let mut role = roles::changeable(transaction.view(), caller, id)?;
                let mut databases = databases_open_to(transaction.view(), &[id]);
                role.name = change.name.unwrap_or(role.name);
                if let Some(grants) = change.grants {
                    check_grants(transaction.view(), caller, &grants)?;
                    role.grants = grants;
                }
                roles::check(transaction.view(), &role)?;
                transaction.append_event(
                    now,
                    event(caller, role.tenant, "role-updated", Subject::Role(id), &role.name),
                );
                transaction.put(role);
                databases.extend(databases_open_to(transaction.view(), &[id]));
                Ok(databases)
            })
            .await?;
        self.wake_each(databases);
        Ok(())
    }

    /// Makes a user of the caller's tenant: a login of every database that the role opens.
    ///
    /// # Errors
    /// Name taken, also by a login that every database has; a role that the tenant does not have.
    pub async fn create_tenant_user(&self, caller: &Caller, new: NewTenantUser) -> Result<Arc<User>, ControlError> {
        self.check_login_name(&new.name)?;
        let user = User {
            id: UserId::new(),
            tenant: Some(caller.tenant),
            email: String::new(),
            name: new.name,
            management: ManagementRole::None,
            roles: vec![new.role],
            passwords: vec![self.hashed_for_databases(&new.password)],
            status: UserStatus::Active,
            created_at: self.now(),
        };
        self.make_user(caller, user, None, Vec::new()).await
    }

    /// Refuses the names of logins that every database has.
    fn check_login_name(&self, name: &str) -> Result<(), ControlError> {
        let of_engines = self.0.engines.iter().flat_map(|engine| engine.reserved_logins());
        if ["default", "admin"].contains(&name) || of_engines.copied().any(|reserved| reserved == name) {
            return Err(ControlError::AlreadyExists {
                what: Noun::User,
                field: "name",
            });
        }
        Ok(())
    }

    /// Whether every server of these databases has the logins as they have been since `revision`. Databases that are gone count as well.
    pub fn logins_are_in_force(&self, databases: &[DatabaseId], revision: u64) -> bool {
        let view = self.store().view();
        let records = databases.iter().filter_map(|id| view.get::<Database>(id));
        let living = records.filter(|database| database.deleted_at.is_none());
        living.flat_map(|database| database.layout.servers()).all(|server| {
            let memory = self.0.memories.get(server.id);
            memory.is_some_and(|memory| {
                let known = memory.lock();
                known
                    .applied
                    .as_ref()
                    .is_some_and(|applied| applied.revision >= revision)
            })
        })
    }

    /// The revision at which these were last changed.
    pub fn access_revision(&self, rules: &[pilothouse_model::AclRuleId], roles: &[RoleId], users: &[UserId]) -> u64 {
        let view = self.store().view();
        let rules = rules
            .iter()
            .filter_map(|id| view.get::<AclRule>(id))
            .map(|row| row.revision);
        let roles = roles
            .iter()
            .filter_map(|id| view.get::<Role>(id))
            .map(|row| row.revision);
        let users = users
            .iter()
            .filter_map(|id| view.get::<User>(id))
            .map(|row| row.revision);
        let newest = rules.chain(roles).chain(users).max();
        newest.map_or(0, |Revision(revision)| revision)
    }
}

fn is_offered(rule: &AclRule, caller: &Caller) -> bool {
    match rule.tenant {
        Some(tenant) => tenant == caller.tenant,
        None => rule.built_in,
    }
}

fn check_grants(view: &View, caller: &Caller, grants: &[Grant]) -> Result<(), ControlError> {
    let mut named = std::collections::BTreeSet::new();
    for grant in grants {
        let rule = view.get::<AclRule>(&grant.rule);
        if !rule.is_some_and(|rule| is_offered(rule, caller)) {
            return Err(ControlError::not_found(Noun::AclRule));
        }
        for id in &grant.databases {
            let database = view.get::<Database>(id);
            if !database.is_some_and(|database| database.tenant == caller.tenant && database.deleted_at.is_none()) {
                return Err(ControlError::not_found(Noun::Database));
            }
            // A login has the rights of one rule.
            if !named.insert(*id) {
                let why = "a role grants one rule on a database, not several";
                return Err(ControlError::invalid(Field::Bindings, why));
            }
        }
    }
    Ok(())
}
