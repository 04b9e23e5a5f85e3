//! Pure translation: wire request to core command, core view to wire answer.

pub(crate) mod action;
pub(crate) mod alerts;
pub(crate) mod bdb;
pub(crate) mod bdb_alerts;
pub(crate) mod command;
pub(crate) mod event;
pub(crate) mod node;
pub(crate) mod permissions;
pub(crate) mod placement;
pub(crate) mod shard;
pub(crate) mod stats;
pub(crate) mod usage;
pub(crate) mod user;
