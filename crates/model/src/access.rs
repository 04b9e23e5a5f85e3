//! Who may use the management APIs, and with which rights people and programs reach databases.
//!
//! One person is one [`User`] in every dialect that has users. A [`Role`] limits what a user may manage, and together with an
//! [`AclRule`] it opens databases: a database binds (role, rule) pairs, and every user who holds the role is a login there.
//!
//! Tenants have users, roles and rules of their own, which reach nothing but the tenant's databases: a tenant's role grants rules on
//! databases itself, and its users log in to no API.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{AclRuleId, DatabaseId, RoleId, Sealed, TenantId, Timestamp, UserId};

/// What a user may manage. Source of the words: redis-enterprise specification §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagementRole {
    /// Everything.
    Admin,
    /// Databases and views of everything.
    ClusterMember,
    /// Views of everything.
    ClusterViewer,
    /// Databases.
    DbMember,
    /// Views of databases.
    DbViewer,
    /// Users and roles, and views.
    UserManager,
    /// Nothing; rights inside databases may still follow from bindings.
    None,
}

/// A password as kept for logging in to an API and into databases. Neither half gives the password back without the key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    /// argon2id in PHC form, for the login to the management APIs; empty for users who log in to databases only.
    pub argon2: String,
    /// The sealed SHA-256 (64 hexadecimal digits) that Redis ACLs take, so that the same person can be bound to a database later.
    pub sealed_sha256: Sealed,
    /// When it was set.
    pub issued_at: Timestamp,
}

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// Yes.
    Active,
    /// Not until the given time: too many failed logins.
    Locked {
        /// When the lock ends.
        until: Timestamp,
    },
}

/// A person or program that calls management APIs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Whose it is; `None` for the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Login by e-mail, compared without case; may be empty when `name` is not.
    pub email: String,
    /// Display and data-plane name; may be empty when `email` is not.
    pub name: String,
    /// What it may manage when it holds no roles.
    pub management: ManagementRole,
    /// The roles it holds.
    pub roles: Vec<RoleId>,
    /// The passwords that are valid, all of them.
    pub passwords: Vec<PasswordHash>,
    /// Whether it may log in.
    pub status: UserStatus,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A named right to manage, which also serves as one half of a [`RoleBinding`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Whose it is; `None` for the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Its name, unique.
    pub name: String,
    /// What its holders may manage.
    pub management: ManagementRole,
    /// What it opens to its holders besides the bindings of databases; empty for the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// Made by us at the start; neither changed nor deleted.
    pub built_in: bool,
}

/// A named set of rights inside a Redis-like database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AclRule {
    /// Its id.
    pub id: AclRuleId,
    /// Whose it is; `None` for the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Its name, unique.
    pub name: String,
    /// The rule text in the syntax of `ACL SETUSER`, without users, passwords or `on`/`off`.
    pub rule: String,
    /// Made by us at the start; neither changed nor deleted.
    pub built_in: bool,
}

/// Opens databases to the holders of a role with the rights of one rule. May name databases that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// With which rights.
    pub rule: AclRuleId,
    /// Which databases.
    pub databases: Vec<DatabaseId>,
}

/// Opens one database to the holders of one role with the rights of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoleBinding {
    /// Whose holders.
    pub role: RoleId,
    /// With which rights.
    pub rule: AclRuleId,
}

impl User {
    /// What to call the user in logs and messages: the name, or the e-mail when there is none.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.email } else { &self.name }
    }

    /// Whether the user holds one of `roles`.
    pub fn holds_any(&self, roles: &BTreeSet<RoleId>) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}
