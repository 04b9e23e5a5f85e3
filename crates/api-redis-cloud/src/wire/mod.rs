//! What goes over the wire, as serde types.

pub(crate) mod account;
pub(crate) mod acl;
pub(crate) mod database;
pub(crate) mod fixed;
pub(crate) mod subscription;
