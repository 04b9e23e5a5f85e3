//! One word for where a database stands. Computed by the planner from spec, layout and observation, never stored.

use serde::{Deserialize, Serialize};

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Its first servers are being made.
    Creating,
    /// Its creation failed; nothing of it runs, only the record is left.
    CreationFailed,
    /// A client with the shown credentials can write and read at the shown address now.
    Active,
    /// As `Active`, while a change is carried out.
    Changing,
    /// Its data is being replaced.
    Importing,
    /// It should serve and does not; a loop is working on it.
    Unavailable,
    /// All copies of its data are gone or cannot be loaded: somebody must choose.
    Recovery,
    /// It is being removed.
    Deleting,
}
