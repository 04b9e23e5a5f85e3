//! Pure translation: wire request to core command, core view to wire answer.

pub(crate) mod bdb;
