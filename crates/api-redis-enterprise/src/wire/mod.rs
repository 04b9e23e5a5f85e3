//! What travels: field names, order and types of the product, nothing else.

pub(crate) mod action;
pub(crate) mod bdb;
pub(crate) mod bootstrap;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod role;
pub(crate) mod shard;
pub(crate) mod small;
pub(crate) mod user;
