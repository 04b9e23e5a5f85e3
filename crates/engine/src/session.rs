//! One management connection to one running server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;
use pilothouse_model::{ClusterFacts, Liveness, ReplicationFacts, Secret, ServerFacts, SlotSet};

use crate::{EngineError, ErrorClass, ServerSettings};

/// When a call must have ended, on the monotonic clock.
pub type Deadline = Instant;

/// How to reach a server for administration.
#[derive(Clone, Debug)]
pub struct ManagementAccess {
    /// The unix socket.
    pub socket: PathBuf,
    /// The secret of the management account.
    pub secret: Secret,
    /// The server is part of a cluster.
    pub cluster: bool,
}

/// A server of the same database, as its siblings reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Host name or address.
    pub host: String,
    /// The port that replication uses: the TLS port where replication is encrypted.
    pub port: u16,
    /// Its place in a cluster; `None` where there is none.
    pub node: Option<PeerNode>,
}

/// A server of a cluster, as its siblings address it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNode {
    /// Its name.
    pub name: String,
    /// The port of its links.
    pub bus_port: u16,
}

/// A database that we do not run and that a primary of ours follows.
#[derive(Clone, Debug)]
pub struct SyncSource {
    /// Where it is.
    pub peer: Peer,
    /// The user to log in as; empty for the login without a name.
    pub username: String,
    /// The password, if one is needed.
    pub password: Option<Secret>,
    /// Whether to speak TLS to it.
    pub tls: bool,
}

/// How the handing over of a slot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The server neither has nor owns it any more.
    Done,
    /// It is too large to go at once, and still its own: its keys have to be moved while both serve it.
    Large,
}

/// How far the making of a snapshot file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// Being written.
    Running,
    /// The last one begun with [`Session::begin_snapshot`] is whole and stands at this path, relative to the data directory.
    Done(PathBuf),
    /// The last one failed, with the server's words.
    Failed(String),
}

/// What an engine reports for statistics: totals and gauges by the engine's own names, already numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Totals since the start of the process and gauges.
    pub numbers: BTreeMap<String, f64>,
    /// Calls since the start per command, lower case.
    pub calls: BTreeMap<String, u64>,
    /// Microseconds spent in each command since the start, lower case; empty where the product does not tell.
    pub micros: BTreeMap<String, u64>,
}

/// A reply to a client command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A status word, for instance `OK`.
    Status(String),
    /// A number.
    Integer(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Several replies.
    Array(Vec<Reply>),
    /// The command was refused, with the server's words.
    Error(String),
}

/// One management connection to one running server. After an error of class `Transient` the session is used up: drop it and connect
/// again. Methods are not cancel-safe: a future that is dropped midway leaves the session used up as well.
#[async_trait]
pub trait Session: Send {
    /// Asks for a sign of life; as cheap as the product allows.
    async fn probe(&mut self, deadline: Deadline) -> Result<Liveness, EngineError>;

    /// Asks what the server says of itself.
    async fn observe(&mut self, deadline: Deadline) -> Result<ServerFacts, EngineError>;

    /// Asks only for replication: what the failover path polls.
    async fn replication(&mut self, deadline: Deadline) -> Result<ReplicationFacts, EngineError>;

    /// Asks for totals and gauges.
    async fn load(&mut self, deadline: Deadline) -> Result<Load, EngineError>;

    /// Makes the running server follow `settings`: limits, persistence, tuning, certificates, logins, fence. Sends only what differs;
    /// returns whether anything did. Connections of logins that lost a right to exist are closed. Writes nothing to disk.
    async fn apply(&mut self, settings: &ServerSettings, deadline: Deadline) -> Result<bool, EngineError>;

    /// Whether the files on disk alone would bring back what the persistence that now applies promises. `false` while a first log or
    /// snapshot is being written after persistence was turned on or changed; asking begins one where none is under way. `true` when
    /// nothing is to be kept.
    async fn persistent(&mut self, deadline: Deadline) -> Result<bool, EngineError>;

    /// Closes the server for everybody but the management account and closes their connections.
    async fn fence(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Makes it a primary. Success when it already is one. In a cluster it takes over the slots that it knows its primary to have.
    async fn promote(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Makes it a replica of a server of the same database. Success when it already follows it.
    async fn attach(&mut self, primary: &Peer, deadline: Deadline) -> Result<(), EngineError>;

    /// Puts a mark that changes no data into the stream to the replicas of this primary; returns the offset behind it. A replica that has
    /// reached it gets everything. Of a server that follows another it is just its offset: such a server adds nothing to the stream.
    async fn mark_stream(&mut self, deadline: Deadline) -> Result<u64, EngineError>;

    /// Makes a replica open its link anew. It goes on from where it is.
    async fn relink(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Makes it follow a database that we do not run. Success when it already follows it.
    async fn follow_external(&mut self, source: &SyncSource, deadline: Deadline) -> Result<(), EngineError>;

    /// Holds writes of clients back for at most `millis`, for a switch without loss. Never longer: the server ends it by itself.
    async fn pause_writes(&mut self, millis: u64, deadline: Deadline) -> Result<(), EngineError>;

    /// Ends [`Session::pause_writes`].
    async fn resume_writes(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Closes every client connection but ours; those of replicas stay.
    async fn disconnect_clients(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Removes all data.
    async fn flush(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Begins to write a snapshot of the dataset; success when one is being written already.
    async fn begin_snapshot(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// How far the snapshot is.
    async fn snapshot_state(&mut self, deadline: Deadline) -> Result<SnapshotState, EngineError>;

    /// Begins to rewrite the log of writes, where it has one; success when that is under way.
    async fn compact_log(&mut self, deadline: Deadline) -> Result<(), EngineError>;

    /// Runs one client command with full rights.
    async fn execute(&mut self, command: &[Vec<u8>], deadline: Deadline) -> Result<Reply, EngineError>;

    /// Asks how it sees its cluster. It must have been asked before it is introduced to anybody.
    async fn cluster(&mut self, _deadline: Deadline) -> Result<ClusterFacts, EngineError> {
        Err(no_cluster())
    }

    /// Introduces it to servers that are to form a cluster with it. Success when they are introduced; they know each other a moment later.
    async fn meet(&mut self, _peers: &[Peer], _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Makes it forget servers that left the cluster, by their names. Success for one that it does not know.
    async fn forget(&mut self, _nodes: &[String], _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Makes it the owner of slots that nobody owns. Success for one that is its own already. The sooner after its start, the sooner it
    /// takes commands: best before it is introduced to anybody.
    async fn claim_slots(&mut self, _slots: &SlotSet, _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Prepares it to take slots over from the node. Success for one that is its own already.
    async fn import_slots(&mut self, _slots: &[u16], _from: &str, _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Hands slots over that have few keys: of each slot, keys and ownership change in one go. Whoever takes them must be told right after
    /// with [`Session::take_slots`], having been prepared with [`Session::import_slots`] before. Takes as many off the front as are quick
    /// together, at least one; says of each how it went.
    async fn hand_over(
        &mut self,
        _slots: &[u16],
        _to: &Peer,
        _deadline: Deadline,
    ) -> Result<Vec<HandOver>, EngineError> {
        Err(no_cluster())
    }

    /// Makes it, under its own name, the owner of slots that were just handed over to it.
    async fn take_slots(&mut self, _slots: &[u16], _own: &str, _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Prepares it to hand slots over to the node: keys that it no longer has are looked for there. Success for one that the node owns.
    async fn export_slots(&mut self, _slots: &[u16], _to: &str, _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Moves keys of slots that are handed over, until none is left or `until` has passed. Each key is moved whole or not at all. Returns
    /// whether keys may be left; some are moved in any case. The server answers nobody else while a large key is moved. Another that hangs
    /// holds it up for a second and is an error of class `Transient`, one that is closed or not prepared is a `Conflict`.
    async fn move_keys(
        &mut self,
        _slots: &[u16],
        _to: &Peer,
        _until: Deadline,
        _deadline: Deadline,
    ) -> Result<bool, EngineError> {
        Err(no_cluster())
    }

    /// Tells it that the node owns the slots. A server that took slots over is told first, then the one that gave them. `Conflict` when
    /// one that takes was not prepared, or one that gives still has keys.
    async fn assign_slots(&mut self, _slots: &[u16], _owner: &str, _deadline: Deadline) -> Result<(), EngineError> {
        Err(no_cluster())
    }

    /// Asks the server to save what its persistence asks for and to end. The connection ends with it.
    async fn shutdown(&mut self, deadline: Deadline) -> Result<(), EngineError>;
}

fn no_cluster() -> EngineError {
    EngineError::new(ErrorClass::Unsupported, "this product forms no clusters")
}
