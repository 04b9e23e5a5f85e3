//! What dialects ask for: the commands, as plain data.

use pilothouse_model::{
    AnswerPoint, DatabaseName, DatabaseSpec, EngineVersion, GroupId, Location, Operation, Secret, ServerId,
};
use pilothouse_store::WireId;

use crate::DatabaseView;

/// How a command is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions {
    /// When to answer.
    pub answer: AnswerPoint,
    /// Run every validation and change nothing.
    pub dry_run: bool,
}

impl RequestOptions {
    /// Answer when validated, planned, reserved and durable.
    pub const PROCESSED: Self = Self {
        answer: AnswerPoint::Processed,
        dry_run: false,
    };
}

/// A document of the calling dialect, attached to the subject of the command in its commit.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentWrite {
    /// Which of the dialect's documents.
    pub kind: &'static str,
    /// Version of its format.
    pub version: u32,
    /// The content, at most 64 KiB of JSON text.
    pub body: serde_json::Value,
}

/// Make a database.
#[derive(Clone, Debug)]
pub struct CreateDatabase {
    /// Its name.
    pub name: DatabaseName,
    /// What is wanted. `network.port` 0 lets us choose; secrets are sealed with [`crate::Control::seal`].
    pub spec: DatabaseSpec,
    /// The group that it belongs to.
    pub group: Option<GroupId>,
    /// The caller's wire id for it, in the caller's database scheme; `None` allocates one.
    pub wire_id: Option<WireId>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// Change what is asked of a database. The whole of what is wanted, made from a view of generation `expected_generation`.
#[derive(Clone, Debug)]
pub struct UpdateDatabase {
    /// Its name.
    pub name: DatabaseName,
    /// What is wanted.
    pub spec: DatabaseSpec,
    /// The generation that this was made from; another one by now is a [`crate::ControlError::Busy`].
    pub expected_generation: u64,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// Restart the servers of a database on a version, one by one.
#[derive(Clone, Debug)]
pub struct UpgradeDatabase {
    /// The wanted version; `None` keeps it.
    pub version: Option<EngineVersion>,
    /// Restart even where the version is right.
    pub force_restart: bool,
    /// Accept that data which is neither replicated nor persisted is lost.
    pub may_discard_data: bool,
}

/// Move a dataset in or out.
#[derive(Clone, Debug)]
pub struct TransferRequest {
    /// Whereto (one) or wherefrom (one or several).
    pub locations: Vec<Location>,
    /// Do not compare the size of an import with the memory limit first.
    pub skip_size_check: bool,
}

/// Bring a database back whose copies were all lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoverDatabase {
    /// From the files of this server; the choice is ours when `None`.
    pub from: Option<ServerId>,
    /// Go on empty where no data file is left.
    pub without_data: bool,
}

/// What a command led to.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The database after the commit (or as it would be, for a dry run).
    pub database: DatabaseView,
    /// The operation; `None` when nothing had to be done, and for a dry run.
    pub operation: Option<Operation>,
}

/// A certificate chain with its key, PEM.
#[derive(Clone, Debug)]
pub struct CertificatePair {
    /// Certificate chain.
    pub certificate: String,
    /// Its key; absent for certificates that are only trusted.
    pub key: Option<Secret>,
}
