//! What the gateway is told at start. All its limits are here, each with its reason.

use std::path::PathBuf;
use std::time::Duration;

use pilothouse_gateway_protocol::GatewayPaths;

/// How to run the gateway of one data directory.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Where its files are.
    pub paths: GatewayPaths,
    /// Take over listeners and connections of the gateway that runs now, which then exits. Without a running one, just start.
    pub take_over: bool,
    /// Worker threads; 0 means one per processor.
    pub threads: usize,
    /// How long a new connection waits for a primary. Longer than any failover, shorter than the patience of clients.
    pub hold: Duration,
    /// Most connections of one endpoint that wait for a primary; more are closed at once. Bounds what a database that is down can take
    /// from the others.
    pub held_connections: usize,
    /// How long connections may go on after SIGTERM.
    pub drain: Duration,
}

impl GatewayOptions {
    /// The defaults for the data directory `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            paths: GatewayPaths::new(&data_dir.into()),
            take_over: false,
            threads: 0,
            hold: Duration::from_secs(30),
            held_connections: 4096,
            drain: Duration::from_secs(1),
        }
    }
}
