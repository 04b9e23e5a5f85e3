//! Pure translation: wire request to core command, core view to wire answer.

pub(crate) mod alerts;
pub(crate) mod bdb;
pub(crate) mod node;
pub(crate) mod permissions;
pub(crate) mod user;
