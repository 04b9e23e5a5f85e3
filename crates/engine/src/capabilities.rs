//! What a product can do.

/// What a product can do; control asks this, never which product it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Named logins with rights of their own.
    pub users: bool,
    /// Logical databases with names inside a server.
    pub schemas: bool,
    /// Replicas that follow a primary.
    pub replication: bool,
    /// A key space divided into slots over several primaries.
    pub slots: bool,
    /// Memory limit can be changed while it runs.
    pub live_memory: bool,
    /// A server can follow a database that we do not run.
    pub external_source: bool,
    /// The smallest memory limit that a server can work with, bytes.
    pub min_memory_bytes: u64,
}
