//! The central record: a database.

use serde::{Deserialize, Serialize};

use crate::{
    Condition, DatabaseId, DatabaseName, DatabaseSpec, Dialect, Endpoint, GroupId, Layout, Location, OperationId,
    Sealed, Server, TenantId, Timestamp,
};

/// What has servers, an endpoint and a lineage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Its id.
    pub id: DatabaseId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The group that it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Its name; whether names are unique is the dialect's rule.
    pub name: DatabaseName,
    /// Through which API it was made.
    pub origin: Dialect,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what was asked of it last changed.
    pub changed_at: Timestamp,
    /// Grows by one with every change of `spec`.
    pub generation: u64,
    /// The generation that was carried out completely.
    pub settled_generation: u64,
    /// Desired.
    pub spec: DatabaseSpec,
    /// Target.
    pub layout: Layout,
    /// The secret that replicas log in to their primary with; one per database.
    pub replication_secret: Sealed,
    /// Grows by one with every change of the layout or of a primary.
    pub topology_epoch: u64,
    /// The operation being carried out.
    pub operation: Option<OperationId>,
    /// It served clients at least once.
    pub was_active: bool,
    /// Why its creation was given up, if it was.
    pub creation_error: Option<String>,
    /// Its copies were all lost and somebody must choose how to go on.
    pub needs_recovery: bool,
    /// When its deletion was asked for: the tombstone.
    pub deleted_at: Option<Timestamp>,
    /// Export, backup and import: the last of each.
    pub transfers: Vec<Transfer>,
    /// Typed truths.
    pub conditions: Vec<Condition>,
}

impl Database {
    /// The address that clients use.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: self.spec.network.address,
            port: self.spec.network.port,
        }
    }

    /// The history that an import feeds into the primary now, if one does.
    pub fn fed_history(&self) -> Option<&str> {
        self.feeding().map(|(_, history)| history)
    }

    /// The server that an import feeds the primary from now, if one does; it is in no layout.
    pub fn fed_from(&self) -> Option<&Server> {
        self.feeding().map(|(server, _)| server)
    }

    fn feeding(&self) -> Option<(&Server, &str)> {
        match &self.transfer(TransferKind::Import)?.replacement {
            Some(Replacement::Feeding { server, history }) => Some((server, history)),
            Some(Replacement::Replaced) | None => None,
        }
    }

    /// The last transfer of that kind.
    pub fn transfer(&self, kind: TransferKind) -> Option<&Transfer> {
        self.transfers.iter().find(|transfer| transfer.kind == kind)
    }
}

/// Which way a dataset travels, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferKind {
    /// Out, by request.
    Export,
    /// Out, on schedule.
    Backup,
    /// In.
    Import,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferPhase {
    /// Asked for.
    Waiting,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up; see `failure`.
    Failed,
}

/// The state of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferStatus {
    /// How far.
    pub phase: TransferPhase,
    /// Share done, 0 to 100.
    pub progress: u8,
    /// Why it failed: a word of the `backup` crate's error classes, then a sentence.
    pub failure: Option<(String, String)>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Somebody has taken note of how it ended, and asked that it is not shown any more.
    #[serde(default)]
    pub acknowledged: bool,
}

/// A dataset that travels out of or into a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Which way.
    pub kind: TransferKind,
    /// Whereto, or wherefrom.
    pub locations: Vec<Location>,
    /// Do not compare the size of an import with the memory limit first.
    pub skip_size_check: bool,
    /// Asked for by somebody who reaches some tenants only: backups of others are not loaded from places that tenants share.
    #[serde(default)]
    pub confined: bool,
    /// How far.
    pub status: TransferStatus,
    /// When the last transfer of this kind that succeeded ended.
    pub last_success_at: Option<Timestamp>,
    /// An import that has begun to replace the data.
    #[serde(default)]
    pub replacement: Option<Replacement>,
}

/// How far an import is that has begun to replace the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Replacement {
    /// The primary follows a server that was started for the import. It holds all of the new data, and nothing of the old, once it holds
    /// this history.
    Feeding {
        /// The server with the new data; it is in no layout.
        server: Box<Server>,
        /// The replication id of its history, as last seen: it may change once, when the primary first asks for its data.
        history: String,
    },
    /// The primary holds the new data and follows nobody any more. Clients may have written since: the import must not begin anew.
    Replaced,
}
