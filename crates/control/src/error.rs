//! The one error that all dialects see. It knows no HTTP: each dialect maps it in its `error.rs`, exhaustively.

use std::time::Duration;

use pilothouse_model::OperationId;

/// Why a command or query was refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// There is no such thing, or it lies outside the caller's tenants.
    #[error("there is no such {what}")]
    NotFound {
        /// The noun.
        what: Noun,
    },
    /// The name or id is taken.
    #[error("the {field} of this {what} is taken")]
    AlreadyExists {
        /// The noun.
        what: Noun,
        /// What is taken: `name`, `email`, `id`, `port`.
        field: &'static str,
    },
    /// The request cannot be carried out as it stands and never will be.
    #[error("{field}: {why}")]
    Invalid {
        /// The field of the model that is wrong.
        field: Field,
        /// One sentence.
        why: String,
    },
    /// The object is not in a state that allows this.
    #[error("{0}")]
    Conflict(String),
    /// Another operation on the same object is under way.
    #[error("another operation is under way")]
    Busy {
        /// Which, if it is known.
        operation: Option<OperationId>,
    },
    /// A limit of the tenant is reached.
    #[error("{0}")]
    Quota(String),
    /// No host has room.
    #[error("{0}")]
    NoCapacity(String),
    /// Wrong or missing credentials.
    #[error("wrong user name or password")]
    Unauthenticated,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Not available here.
    #[error("{0}")]
    Unsupported(String),
    /// Try again later.
    #[error("{why}")]
    Unavailable {
        /// One sentence.
        why: String,
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// Our fault, or the system's. The detail is in the log and in `detail`, which must not reach a client.
    #[error("internal error")]
    Internal {
        /// For the log.
        detail: String,
    },
}

/// What can be missing or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the model's")]
pub enum Noun {
    Group,
    Database,
    Server,
    Host,
    Operation,
    User,
    Role,
    AclRule,
    Certificate,
    Document,
    Tenant,
}

impl std::fmt::Display for Noun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Database => "database",
            Self::Server => "server",
            Self::Host => "host",
            Self::Operation => "operation",
            Self::User => "user",
            Self::Role => "role",
            Self::AclRule => "ACL rule",
            Self::Certificate => "certificate",
            Self::Document => "document",
            Self::Tenant => "tenant",
        })
    }
}

/// The part of a request that is wrong; dialects map it to their own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the words are those of `DatabaseSpec` and the access records"
)]
pub enum Field {
    Name,
    Engine,
    Version,
    Memory,
    Shards,
    Cluster,
    Replicas,
    Persistence,
    Eviction,
    Port,
    Tls,
    ClientCertificates,
    Bindings,
    DisabledCommands,
    Tuning,
    ReplicaSource,
    SourceAllow,
    Backup,
    Location,
    Certificate,
    Password,
    Email,
    Roles,
    AclRule,
    Document,
    Command,
    WireId,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ControlError {
    /// An invalid field.
    pub fn invalid(field: Field, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    /// Our own or the system's fault.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::Internal {
            detail: detail.to_string(),
        }
    }

    /// There is no such thing.
    pub const fn not_found(what: Noun) -> Self {
        Self::NotFound { what }
    }

    /// The word recorded in a failed operation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::AlreadyExists { .. } => "already-exists",
            Self::Invalid { .. } => "invalid",
            Self::Conflict(_) => "conflict",
            Self::Busy { .. } => "busy",
            Self::Quota(_) => "quota",
            Self::NoCapacity(_) => "no-capacity",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::Unsupported(_) => "unsupported",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }
}
