//! What these products can do for us.

use pilothouse_engine::Capabilities;

/// The smallest limit of a server without replicas: an empty server uses 0.9 MiB of it by itself.
pub(crate) const MIN_MEMORY_BYTES: u64 = 1024 * 1024;

/// The smallest limit of a server with replicas: the backlog of replication (1 MiB at least) and the buffers of links count as well.
pub(crate) const MIN_REPLICATED_MEMORY_BYTES: u64 = 3 * 1024 * 1024;

/// What a server of a cluster needs besides: what it knows of slots and siblings.
pub(crate) const CLUSTER_MEMORY_BYTES: u64 = 2 * 1024 * 1024;

/// The same for Redis and Valkey.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    users: true,
    schemas: false,
    replication: true,
    slots: true,
    live_memory: true,
    external_source: true,
    min_memory_bytes: MIN_MEMORY_BYTES,
};
