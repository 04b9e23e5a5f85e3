//! Target state: which server carries which shard, on which host, and the durable lineage of each shard.

use serde::{Deserialize, Serialize};

use crate::{EngineVersion, HostId, Sealed, ServerId, ShardId, Timestamp};

/// Which servers carry a database. Empty until its creation was planned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// In slot order.
    pub shards: Vec<Shard>,
}

impl Layout {
    /// Every server of every shard.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.shards.iter().flat_map(|shard| &shard.servers)
    }

    /// The shard that holds the server.
    pub fn shard_of(&self, server: ServerId) -> Option<&Shard> {
        self.shards
            .iter()
            .find(|shard| shard.servers.iter().any(|s| s.id == server))
    }

    /// As [`Layout::shard_of`], to be changed.
    pub fn shard_of_mut(&mut self, server: ServerId) -> Option<&mut Shard> {
        self.shards
            .iter_mut()
            .find(|shard| shard.servers.iter().any(|s| s.id == server))
    }

    /// The server with that id.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers().find(|server| server.id == id)
    }
}

/// Part of the key space: one primary and its replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// Its slots; all of them where a database has one shard.
    pub slots: Vec<SlotRange>,
    /// Its servers, the first made first. Which of them is the primary is the lineage's business.
    pub servers: Vec<Server>,
    /// Whose data counts.
    pub lineage: Lineage,
    /// Slots that are on their way to it. Recorded before they leave, so that whoever comes after a crash knows where their keys went.
    #[serde(default)]
    pub importing: Vec<SlotRange>,
    /// It is on its way out: its slots go to the others, then it is removed.
    #[serde(default)]
    pub leaving: bool,
}

impl Shard {
    /// The server that the lineage names as primary.
    pub fn primary(&self) -> Option<&Server> {
        let id = self.lineage.primary?;
        self.servers.iter().find(|server| server.id == id)
    }

    /// The servers that the lineage does not name as primary.
    pub fn replicas(&self) -> impl Iterator<Item = &Server> {
        self.servers
            .iter()
            .filter(|server| Some(server.id) != self.lineage.primary)
    }
}

/// Hash slots `first..=last` of 0–16383.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRange {
    /// First slot.
    pub first: u16,
    /// Last slot, included.
    pub last: u16,
}

impl SlotRange {
    /// The whole key space.
    pub const ALL: Self = Self { first: 0, last: 16383 };
}

/// Whose data of a shard counts: the fence against a server that comes back empty or old.
///
/// Only a server that this record names, or that replicated completely from the one it names, is ever promoted or followed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Grows by one at every promotion; 0 before the first primary served.
    pub epoch: u64,
    /// The primary of this epoch.
    pub primary: Option<ServerId>,
    /// The replication id (engine's own) under which the primary's history is known; empty until first seen.
    pub replication_id: String,
    /// The replication offset last seen of the primary; a lower bound.
    pub offset: u64,
    /// The primary held data that its own files can bring back: it may be restarted in place without a replica.
    pub restartable: bool,
    /// Servers that completed a first sync from the primary of this epoch: they may be promoted.
    pub synced: Vec<ServerId>,
    /// A promotion that was begun and whose outcome is not recorded yet.
    pub intent: Option<FailoverIntent>,
}

/// A promotion that was begun. Gives nobody precedence: on recovery both servers are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailoverIntent {
    /// The epoch the promotion leads to.
    pub epoch: u64,
    /// Who is to become primary.
    pub candidate: ServerId,
    /// Who was primary.
    pub old_primary: Option<ServerId>,
    /// Why, one sentence.
    pub reason: String,
    /// When it was begun.
    pub at: Timestamp,
}

/// Who runs the process of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Management {
    /// We start and stop it.
    Managed,
    /// Somebody else does.
    External,
}

/// Ports of a server on its host, all from `endpoints.server_port_range`. 0: not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPorts {
    /// Plain.
    pub plain: u16,
    /// TLS.
    pub tls: u16,
    /// The links of a cluster; 0 for a server that is in none.
    #[serde(default)]
    pub bus: u16,
}

/// One database server process with its directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its id; also the name of its directory.
    pub id: ServerId,
    /// Where it runs.
    pub host: HostId,
    /// Who runs it.
    pub management: Management,
    /// The version that it runs, or shall run.
    pub version: EngineVersion,
    /// Its ports.
    pub ports: ServerPorts,
    /// The secret of its private management account.
    pub management_secret: Sealed,
    /// Grows with every deliberate start; tells a restart that was asked for from one that was not.
    pub incarnation: u64,
    /// It is on its way out: no longer counted, removed once the others can do without it.
    pub leaving: bool,
    /// When it was planned.
    pub created_at: Timestamp,
}
