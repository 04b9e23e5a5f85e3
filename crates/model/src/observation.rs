//! Observed state: what was seen, and when. Never stored; unknown is a value, not a default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EngineVersion, ServerId, SlotSet, Timestamp};

/// What was last seen of the servers of one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// One entry for each server of the layout that was looked at.
    pub servers: BTreeMap<ServerId, ServerObservation>,
}

/// What was last seen of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerObservation {
    /// When.
    pub at: Timestamp,
    /// The process.
    pub process: ProcessState,
    /// Whether it answers.
    pub liveness: Liveness,
    /// What it says of itself; `None` when it did not answer.
    pub facts: Option<ServerFacts>,
}

/// State of a server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Never started, or its end was seen and every process of its session is gone.
    Absent,
    /// Runs, and its identity was proven.
    Running {
        /// Process id.
        pid: u32,
    },
    /// Its main process ended; children still hold its directory lock.
    Leftover,
    /// Nobody looked yet.
    Unknown,
}

/// Whether a server answers its probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Answers.
    Ok,
    /// Answers that it loads its data.
    Loading,
    /// Answers that a script keeps it busy.
    Busy,
    /// Did not answer in time.
    Silent,
    /// Refuses or drops connections.
    Unreachable,
    /// Nobody asked yet.
    Unknown,
}

/// Role that a server plays, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows another server.
    Replica,
}

/// Replication as a server sees it. Offsets in bytes of its replication stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationFacts {
    /// Its role.
    pub role: Role,
    /// The id of the history that it holds.
    pub replication_id: String,
    /// The id of the history that it held before it was promoted; empty when it never was.
    pub previous_replication_id: String,
    /// How far into the history it is.
    pub offset: u64,
    /// Replicas: whom it follows, `host:port`.
    pub source: Option<String>,
    /// Replicas: the link to the source is up. `None` for primaries.
    pub link_up: Option<bool>,
    /// Replicas: a first or full sync is under way.
    pub syncing: bool,
    /// Replicas: time since the last byte from the source.
    pub link_silence: Option<Duration>,
    /// Primaries: replicas that are online.
    pub online_replicas: u32,
    /// Replicas: how far the full sync is that is under way.
    pub sync: Option<SyncProgress>,
}

/// A cluster as one of its servers sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterFacts {
    /// The name that its siblings know it by; it keeps it in its directory.
    pub node: String,
    /// Whom it follows; `None` for a primary.
    pub primary: Option<String>,
    /// It takes commands for the slots that it owns.
    pub serves: bool,
    /// The newest change of ownership that it knows of.
    pub epoch: u64,
    /// The slots that it owns. A replica owns none.
    pub slots: SlotSet,
    /// Slots on their way from it, and the node that each goes to.
    pub migrating: Vec<(u16, String)>,
    /// Slots on their way to it, and the node that each comes from.
    pub importing: Vec<(u16, String)>,
    /// Every other server that it knows.
    pub peers: Vec<ClusterPeer>,
}

/// A server of a cluster as another sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPeer {
    /// Its name.
    pub node: String,
    /// The port for commands under which it is known: the TLS port where the links of the cluster are encrypted.
    pub port: u16,
    /// The two were only introduced and do not trust each other yet.
    pub handshake: bool,
    /// There is a connection to it, and the two trust each other.
    pub linked: bool,
    /// Whom it follows; `None` for a primary.
    pub primary: Option<String>,
    /// The slots that it owns.
    pub slots: SlotSet,
}

/// How far a full sync is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// Size of what the source sends, bytes; `None` when the source makes it while it sends.
    pub total_bytes: Option<u64>,
    /// What has arrived of it, bytes.
    pub read_bytes: u64,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerFacts {
    /// The version that runs.
    pub version: EngineVersion,
    /// Changes with every start of the process.
    pub run_id: String,
    /// The process id as the server tells it.
    pub pid: u32,
    /// How long it runs.
    pub uptime: Duration,
    /// Replication.
    pub replication: ReplicationFacts,
    /// Share of its data that is loaded, 0 to 1; `None` when it does not load.
    pub loading: Option<f64>,
    /// Memory of the dataset and buffers, bytes.
    pub used_memory_bytes: u64,
    /// Keys.
    pub keys: u64,
    /// No client but our own account can use it.
    pub fenced: bool,
    /// Every number and word that the engine reports, by the engine's own names. Shared, because facts are handed out with every view.
    pub raw: Arc<BTreeMap<String, String>>,
}
