//! The data path: the stable address of every database.
//!
//! The gateway accepts connections at endpoint ports, which it alone binds, finds the primary's address in its table and carries bytes
//! in both directions. `pilothouse gateway` calls [`run`] in a process of its own, which outlives restarts of the control plane; the
//! control plane steers it through the messages of `gateway-protocol`.
//!
//! It never looks into the bytes, never terminates TLS, never decides where a primary is and never changes the table by itself: while
//! no control plane is there it serves the last table, and after a restart the disk copy of it.
//!
//! # How it is built
//!
//! - One control thread (`service`) owns the table (`table`), the control socket (`control`), the disk copy (`disk`) and handovers
//!   (`handover`).
//! - One worker thread per core (`workers`) runs accept loops (`listener`) and connections (`connection`). Both directions of a
//!   connection live in one task on one thread (`pump`), so that a byte crosses no thread and wakes one task.
//! - The two meet in `entrance`: the route in force and the connections that live under it.
//!
//! Start reading at `service`, then `entrance`, then `connection`.

mod connection;
mod control;
mod disk;
mod entrance;
mod error;
mod handover;
mod leash;
mod listener;
mod lock;
mod options;
mod pump;
mod service;
mod stream;
mod table;
mod workers;

pub use error::GatewayRunError;
pub use options::GatewayOptions;
pub use service::run;
