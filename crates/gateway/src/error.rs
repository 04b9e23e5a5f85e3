//! Why the gateway does not run.

use std::io;
use std::path::{Path, PathBuf};

/// A gateway that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayRunError {
    /// Another gateway serves this data directory.
    #[error("another gateway serves this data directory: {lock} is held by {holder}")]
    Locked {
        /// The lock file.
        lock: PathBuf,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The id of the data directory is missing or empty.
    #[error("{path} does not hold the id of the data directory: {reason}")]
    Id {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The running gateway did not hand over. It goes on serving, unless it died meanwhile.
    #[error("the running gateway did not hand over: {0}")]
    Handover(String),
    /// The system refused something.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl GatewayRunError {
    /// The exit status for this error: 3 when another gateway serves, as for the control plane's own lock; otherwise 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Locked { .. } => 3,
            Self::Id { .. } | Self::Handover(_) | Self::Io { .. } => 1,
        }
    }

    /// Makes an I/O error of `what` on `path`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
