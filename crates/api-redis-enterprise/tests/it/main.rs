//! The dialect over HTTP, on a control plane whose servers are simulated. One file per resource, as in `handlers`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test, like the tests themselves"
)]

mod access;
mod actions;
mod bdb_alerts;
mod bdbs;
mod bootstrap;
mod certificates;
mod cluster;
mod coverage;
mod databases;
mod harness;
mod malformed;
mod roles;
mod shards;
mod stats;
mod users;
