//! The gateway as a process, steered through its real client, between real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test, like the tests themselves"
)]

mod control;
mod handover;
mod load;
mod restart;
mod routes;
mod support;
