//! Conditions: typed truths about a database, each independent of the others, each with a reason.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// A client with the shown credentials can write and read at the shown address, and a failover would work now.
    Ready,
    /// A loop is bringing the database to its newest generation.
    Progressing,
    /// It works, but with less than was asked for: a replica is missing or not in sync.
    Degraded,
    /// A server dies again and again; the message holds the last lines of its log.
    CrashLooping,
    /// A server does not answer and is not killed, because nothing could take its place.
    Unresponsive,
    /// Primary and replica share a host.
    SharedHost,
    /// All copies of the data are gone or cannot be loaded; the operator must choose.
    RecoveryNeeded,
    /// A process that cannot die, or a directory that cannot be erased, holds back a delete.
    DeletionBlocked,
}

/// Whether a condition holds. Unknown is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell now.
    Unknown,
}

/// One typed truth about a database, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What it speaks of.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub truth: Truth,
    /// One word for programs, `CamelCase`.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// When `truth` last changed.
    pub since: Timestamp,
}
