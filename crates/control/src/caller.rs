//! Who calls, and what lies within reach.

use std::collections::BTreeSet;

use pilothouse_model::{Database, Dialect, TenantId};

use crate::Settlement;

/// Who calls a command or a query. Made by a dialect's `auth.rs` and nowhere else.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Through which API.
    pub dialect: Dialect,
    /// For the audit log: `user:<name>`, or the part of Pilothouse that acts.
    pub actor: String,
    /// What the caller can see and change; whatever lies outside is not found.
    pub scope: TenantScope,
    /// Whose becomes what the caller creates.
    pub tenant: TenantId,
    /// The request that the command carries out, if it waited in a lane: it ends in the command's commit.
    pub settles: Option<Settlement>,
}

/// The tenants within reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantScope {
    /// All of them.
    All,
    /// These.
    Only(BTreeSet<TenantId>),
}

impl Caller {
    /// Whether the database lies within reach. One in deletion does until its record is gone.
    pub fn reaches(&self, database: &Database) -> bool {
        match &self.scope {
            TenantScope::All => true,
            TenantScope::Only(tenants) => tenants.contains(&database.tenant),
        }
    }
}
