//! The nouns of Pilothouse: typed ids, checked names, what was asked for, what is planned, what was seen.
//!
//! Everybody depends on this crate and it depends on nobody of ours. It does no IO, is not async, and knows no API's wire
//! format: the serde implementations here are the format of the *store*. Words are those of `GLOSSARY.md`.
//!
//! Three kinds of truth never mix, and each has its own type:
//! - [`DatabaseSpec`]: *desired*, what was asked for. Its `generation` grows by one at each change.
//! - [`Layout`]: *target*, which server carries which shard, on which host, and the [`Lineage`] of each shard.
//! - [`Observation`]: *observed*, what was last seen and when. Never stored; unknown is a value.
//!
//! [`Lifecycle`] is computed from these and never stored. Start reading at [`Database`].

mod access;
mod condition;
mod database;
mod document;
mod endpoint;
mod engine;
mod event;
mod group;
mod histogram;
mod host;
mod id;
mod layout;
mod lifecycle;
mod name;
mod observation;
mod operation;
mod secret;
mod slots;
mod spec;
mod tenant;
mod time;

pub use access::{AclRule, Grant, ManagementRole, PasswordHash, Role, RoleBinding, User, UserStatus};
pub use condition::{Condition, ConditionKind, Truth};
pub use database::{Database, Replacement, Transfer, TransferKind, TransferPhase, TransferStatus};
pub use document::{Document, DocumentKey};
pub use endpoint::{Cidr, CidrError, Endpoint};
pub use engine::{EngineKind, EngineVersion, InstalledEngine, VersionError};
pub use event::{Event, EventDraft, Severity};
pub use group::DatabaseGroup;
pub use histogram::{Histogram, HistogramReading};
pub use host::{Host, HostFacts, MachineLoad};
pub use id::{
    AclRuleId, DatabaseId, EventId, GroupId, HostId, OperationId, RoleId, ServerId, ShardId, TenantId, UserId,
};
pub use layout::{FailoverIntent, Layout, Lineage, Management, Server, ServerPorts, Shard, SlotRange};
pub use lifecycle::Lifecycle;
pub use name::{BucketName, DatabaseName, Dialect, NameError, ObjectPath, TenantName};
pub use observation::{
    ClusterFacts, ClusterPeer, Liveness, Observation, ProcessState, ReplicationFacts, Role as ServerRole, ServerFacts,
    ServerObservation, SyncProgress,
};
pub use operation::{AnswerPoint, Operation, OperationKind, OperationPhase, OperationResult, Request, Subject};
pub use secret::{Sealed, Secret};
pub use slots::SlotSet;
pub use spec::{
    AccessSpec, BackupSchedule, ClientAuthentication, DatabaseSpec, EvictionPolicy, FsyncPolicy, Location, LogLimits,
    NetworkSpec, Persistence, ReplicaSource, ReplicaSync, S3Access, SnapshotRule, TlsMode,
};
pub use tenant::Tenant;
pub use time::Timestamp;
