//! Logging to stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Logs to stderr what `filter` lets through. A filter that cannot be read lets `info` through: configured ones were checked before.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Told on stderr, of all places, and with a panic when that fails too: a full disk under the log would end us.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    // A second logger in one process, in tests, changes nothing.
    let _ = logger.with_ansi(io::stderr().is_terminal()).try_init();
}
