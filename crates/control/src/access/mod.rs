//! Who may use the management APIs, and what follows from it inside databases: users, roles, ACL rules.
//!
//! One list for all dialects. Every change wakes the loops of the databases whose logins it changes; they compute the logins from
//! users and bindings and apply them. Start reading at [`Control::login`] (`login.rs`), then `users.rs`.

mod key_accounts;
mod login;
mod roles;
mod rules;
mod tenant;
mod user_check;
mod users;

use std::collections::BTreeSet;

use pilothouse_model::{
    DatabaseId, EventDraft, ManagementRole, PasswordHash, RoleId, Secret, Severity, Subject, TenantId, User, UserId,
};
use pilothouse_secrets::{LoginVerifier, sha256_hex};
use pilothouse_store::View;

use crate::{Caller, Control, ControlError};

pub use key_accounts::{IssuedKeys, KeyAccount, KeyRole, NewKeyAccount, NewSecretKey, SecretKey};
pub use login::AccessPolicy;
pub use roles::{NewRole, RoleChange};
pub use rules::{AclRuleChange, NewAclRule};
pub use tenant::{NewTenantUser, TenantRoleChange};
pub use users::{NewUser, PasswordChange, UserChange};

/// What logins need and nobody stores.
pub(crate) struct Access {
    /// Checks passwords and remembers those that were right for a while.
    verifier: LoginVerifier,
    /// Failed logins of each user; forgotten at a restart, which only helps the user.
    failures: login::Failures,
}

impl Access {
    pub(crate) fn new() -> Self {
        Self {
            verifier: LoginVerifier::new(),
            failures: login::Failures::default(),
        }
    }

    /// Forgets what is remembered of a user who changed.
    fn forget(&self, user: UserId) {
        self.verifier.forget(user);
        self.failures.clear(user);
    }
}

/// What a user may manage: the words of the roles held, or the user's own word where none is held.
fn management_of(view: &View, user: &User) -> Vec<ManagementRole> {
    if user.roles.is_empty() {
        return vec![user.management];
    }
    let roles = user
        .roles
        .iter()
        .filter_map(|id| view.get::<pilothouse_model::Role>(id));
    roles.map(|role| role.management).collect()
}

/// How many users may manage everything.
fn administrators(view: &View) -> usize {
    let users = view.all::<User>();
    users
        .filter(|user| management_of(view, user).contains(&ManagementRole::Admin))
        .count()
}

/// Refuses a change after which nobody could manage everything any more.
fn keeps_an_administrator(before: usize, after: &View) -> Result<(), ControlError> {
    if before > 0 && administrators(after) == 0 {
        return Err(ControlError::Conflict(
            "this would leave no user who may manage everything".to_owned(),
        ));
    }
    Ok(())
}

/// The databases whose logins follow from these roles.
fn databases_open_to(view: &View, roles: &[RoleId]) -> BTreeSet<DatabaseId> {
    let bound = roles.iter().flat_map(|role| view.databases_bound_to_role(*role));
    let granting = roles.iter().filter_map(|role| view.get::<pilothouse_model::Role>(role));
    let grants = granting.flat_map(|role| &role.grants);
    bound
        .map(|database| database.id)
        .chain(grants.flat_map(|grant| grant.databases.iter().copied()))
        .collect()
}

/// Whether what that tenant has lies within reach. The operator's does: that a caller may change it is checked where it calls.
fn within_reach(tenant: Option<TenantId>, caller: &Caller) -> bool {
    tenant.is_none_or(|tenant| tenant == caller.tenant)
}

impl Control {
    /// Hashes a password where it hurts nobody.
    async fn hashed(&self, password: Secret) -> Result<PasswordHash, ControlError> {
        let (keyring, now) = (self.keyring().clone(), self.now());
        tokio::task::spawn_blocking(move || keyring.hash_password(&password, now))
            .await
            .map_err(ControlError::internal)
    }

    /// What is kept of a password that opens databases only.
    fn hashed_for_databases(&self, password: &Secret) -> PasswordHash {
        PasswordHash {
            argon2: String::new(),
            sealed_sha256: self.seal(&sha256_hex(password)),
            issued_at: self.now(),
        }
    }

    fn wake_each(&self, databases: impl IntoIterator<Item = DatabaseId>) {
        for database in databases {
            self.wake(database);
        }
    }
}

/// An event about a user, a role or a rule of that tenant's.
fn event(caller: &Caller, tenant: Option<TenantId>, kind: &str, subject: Subject, name: &str) -> EventDraft {
    EventDraft {
        kind: kind.to_owned(),
        severity: Severity::Info,
        subject,
        tenant,
        actor: caller.actor.clone(),
        operation: None,
        message: format!("{}: {name}", kind.replace('-', " ")),
        facts: serde_json::json!({ "name": name }),
    }
}
