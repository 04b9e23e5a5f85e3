//! The driver against real servers: every method twice in a row, with `kill -9` in between, and against a server that lies.
//!
//! Runs on `redis-server`, and on `valkey-server` where it is installed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what they skip"
)]

mod acl;
mod cluster;
mod hostile;
mod live;
mod replication;
mod runner;
mod session;
mod snapshots;
mod tls;
