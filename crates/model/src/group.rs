//! Groups: named sets of databases.

use serde::{Deserialize, Serialize};

use crate::{Cidr, Dialect, GroupId, TenantId, Timestamp};

/// A named set of databases of one tenant, as one API sees it: a subscription, a namespace or a project. What else that API knows of it
/// is in its documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseGroup {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The API whose notion it is; the others do not show it.
    pub dialect: Dialect,
    /// Its name, in that API's rules.
    pub name: String,
    /// From where clients may connect to its databases, besides what each database says itself; empty for anywhere.
    #[serde(default)]
    pub source_allow: Vec<Cidr>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// When its removal was asked for.
    pub deleted_at: Option<Timestamp>,
    /// Until when the record stays after that, so that clients see it going.
    pub gone_at: Option<Timestamp>,
}
