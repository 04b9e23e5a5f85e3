//! What tests share: a simulated world, real servers, waiting helpers, free ports and directories. A dev-dependency only.
//!
//! - [`find_server`], [`TestRedis`], [`free_port`], [`TestDir`]: real servers, ports and directories of a test's own.
//! - [`wait_until`], [`wait_for`]: waiting for a condition with a deadline.
//! - [`world`]: the contracts `engine`, `runtime` and `gateway-protocol` played in memory, for tests of `control`.
//!
//! Called by tests of any crate. It knows the contracts and none of the crates that are tested with it, and touches nothing but what it made.

mod binaries;
mod dir;
mod net;
mod redis;
mod wait;
pub mod world;

pub use binaries::find_server;
pub use dir::TestDir;
pub use net::free_port;
pub use redis::TestRedis;
pub use wait::{wait_for, wait_until};
