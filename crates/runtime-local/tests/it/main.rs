//! The local runtime against real processes: redis-server, and shells where a process must behave in a certain way.
//!
//! As root, servers run as `nobody`; otherwise as the account of the test.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

mod adopt;
mod files;
mod kill;
mod launch;
mod machine;
mod support;
