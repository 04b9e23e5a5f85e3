//! Wire to core and core to wire. Pure, but for sealing.

pub(crate) mod acl;
pub(crate) mod database;
pub(crate) mod show;
pub(crate) mod show_fixed;
pub(crate) mod size;
pub(crate) mod subscription;
pub(crate) mod task;
pub(crate) mod time;
