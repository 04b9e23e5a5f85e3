//! Tenants: owners, and the boundary of isolation and quota.

use serde::{Deserialize, Serialize};

use crate::{TenantId, TenantName, Timestamp};

/// An owner of databases. The tenant `default` always exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique.
    pub name: TenantName,
    /// When it was made.
    pub created_at: Timestamp,
}
