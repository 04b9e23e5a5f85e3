//! What can go wrong when running servers.

use std::path::PathBuf;

/// A failed call to the runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A process of an earlier start still lives.
    #[error("a process of an earlier start still holds the server's directory")]
    Locked,
    /// The binary is missing or cannot be run.
    #[error("cannot run {program}: {reason}")]
    Program {
        /// The binary.
        program: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The process ended before it was up.
    #[error("the server ended at once ({how}): {log}")]
    EndedAtOnce {
        /// How it ended.
        how: String,
        /// The last lines that it printed.
        log: String,
    },
    /// The disk is full.
    #[error("no space left at {path}")]
    NoSpace {
        /// Where.
        path: PathBuf,
    },
    /// The directory is not ours: wrong owner, or it does not carry our mark.
    #[error("{path} is not a directory of ours: {reason}")]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Why we think so.
        reason: String,
    },
    /// No free port is left in the range.
    #[error("no free port in {range}")]
    NoPort {
        /// The range.
        range: String,
    },
    /// The deadline passed first.
    #[error("{what} did not happen in time")]
    Timeout {
        /// What was waited for.
        what: &'static str,
    },
    /// The system refused something else.
    #[error("{what} at {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}
