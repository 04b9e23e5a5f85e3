//! What only one dialect knows: versioned documents attached to a subject.

use serde::{Deserialize, Serialize};

use crate::{Dialect, Subject};

/// Where a document hangs: one dialect, one subject, one kind of document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentKey {
    /// Whose document it is.
    pub dialect: Dialect,
    /// What it is attached to; it is removed with it.
    pub subject: Subject,
    /// Which of the dialect's documents, for instance `bdb` or `policy`.
    pub kind: String,
}

/// A document: at most 64 KiB of JSON that no planner reads. What has an effect is in the model, not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Where it hangs.
    pub key: DocumentKey,
    /// Version of the dialect's own format.
    pub version: u32,
    /// The content.
    pub body: serde_json::Value,
}
