//! Operations: the durable record of a request still being carried out.

use serde::{Deserialize, Serialize};

use crate::{
    AclRuleId, DatabaseId, Dialect, GroupId, HostId, OperationId, RoleId, Sealed, ServerId, TenantId, Timestamp, UserId,
};

/// What a record speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "id")]
pub enum Subject {
    /// The installation as a whole.
    Installation,
    /// A tenant.
    Tenant(TenantId),
    /// A group of databases.
    Group(GroupId),
    /// A database.
    Database(DatabaseId),
    /// A server.
    Server(ServerId),
    /// A host.
    Host(HostId),
    /// A user of the management APIs.
    User(UserId),
    /// A role.
    Role(RoleId),
    /// An ACL rule.
    AclRule(AclRuleId),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Makes a database.
    CreateDatabase,
    /// Changes what was asked of a database.
    UpdateDatabase,
    /// Removes a database.
    DeleteDatabase,
    /// Empties a database.
    FlushDatabase,
    /// Moves the primary of a shard to a replica, or restarts servers on another version.
    UpgradeDatabase,
    /// Moves the primary of a shard to a replica, by request.
    Failover,
    /// Writes the dataset to a location, by request.
    ExportDatabase,
    /// Writes the dataset to a location, on schedule.
    BackupDatabase,
    /// Replaces the dataset by one read from a location.
    ImportDatabase,
    /// Brings a database back whose copies were all lost.
    RecoverDatabase,
    /// What an API asks for in words of its own, processed in a lane. What it leads to in databases are operations of their own.
    Request,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum OperationPhase {
    /// Durable, not looked at yet.
    Received,
    /// Being validated, planned and reserved.
    Processing,
    /// Accepted and committed; a loop carries it out.
    Processed,
    /// Refused; it changed nothing.
    Failed {
        /// The error's code, a word for programs.
        code: String,
        /// One sentence.
        message: String,
    },
}

/// How the carrying out of a processed operation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum OperationResult {
    /// Done.
    Succeeded,
    /// Given up.
    Failed {
        /// A word for programs.
        code: String,
        /// One sentence.
        message: String,
    },
}

/// What is kept of a request that is processed after it was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The API's word for what is asked.
    pub command: String,
    /// What is asked, JSON; sealed because it may hold passwords.
    pub body: Sealed,
    /// What came of it, in the API's words; `None` until it was processed. Holds no secret.
    pub answer: Option<serde_json::Value>,
}

/// The durable record of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which API it came.
    pub dialect: Dialect,
    /// Who asked, for the audit log.
    pub actor: String,
    /// What it does.
    pub kind: OperationKind,
    /// To what.
    pub subject: Subject,
    /// The generation of the subject that carries it; for a requested failover, the topology epoch that ends it.
    pub generation: u64,
    /// The server that was named in the request, for a requested failover.
    pub target: Option<ServerId>,
    /// What was asked, for requests that wait in a lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// How far it is.
    #[serde(flatten)]
    pub phase: OperationPhase,
    /// How it ended.
    pub result: Option<OperationResult>,
    /// The step in hand, for people: recorded before the step runs.
    pub step: String,
    /// Share of the work that is done, 0 to 100.
    pub progress: u8,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Operation {
    /// Whether nothing more will happen to it.
    pub fn is_final(&self) -> bool {
        self.result.is_some() || matches!(self.phase, OperationPhase::Failed { .. })
    }
}

/// When a dialect answers its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerPoint {
    /// As soon as the operation is durable.
    Received,
    /// When it was validated, planned and reserved.
    Processed,
    /// When it was carried out.
    Provisioned,
}
