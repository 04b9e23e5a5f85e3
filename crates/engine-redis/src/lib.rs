//! The driver of `redis-server` and `valkey-server`: two products, one protocol.
//!
//! It describes how a server is started and speaks to it over the unix socket in the server's directory. `server` wires it in; `control`
//! calls it through the traits of the `engine` crate and does not know it. It starts no process, writes no file, sleeps never, retries
//! never, keeps no background task, and never lets a running server write its configuration (`CONFIG REWRITE`).
//!
//! Supported: Redis 7.0 and later, Valkey 7.2 and later; single servers, primaries with replicas, and clusters of both. Never supported:
//! numbered databases other than 0, modules loaded by tenants, active defragmentation.
//!
//! Three accounts are ours: [`MANAGEMENT_LOGIN`] for administration, [`COMMAND_LOGIN`] for commands that somebody runs through an API,
//! and [`REPLICATION_LOGIN`] for the links between servers of one database. What stands on disk opens none of the others, which is why
//! a server that somebody else restarts serves nobody and feeds nobody.
//!
//! Start reading at `driver.rs` (the product), then `session.rs` (a running server): both are indexes of the other files.

mod acl;
mod backup;
mod capabilities;
mod client;
mod cluster;
mod command;
mod commands;
mod config;
mod driver;
mod error;
mod info;
mod launch;
mod live;
mod lost_source;
mod probe;
mod quote;
mod replication;
mod resp;
mod schemas;
mod session;
mod tuning;
mod users;

pub use driver::RedisEngine;
pub use users::{COMMAND_LOGIN, MANAGEMENT_LOGIN, REPLICATION_LOGIN};
