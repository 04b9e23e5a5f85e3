//! Listeners over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test, like the tests themselves"
)]

mod harness;
mod limits;
mod requests;
mod tls;
