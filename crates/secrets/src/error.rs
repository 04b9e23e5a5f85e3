//! What can go wrong with secrets. Never tells the secret.

use std::path::PathBuf;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The key file cannot be read or written.
    #[error("the key file {path} cannot be used: {source}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Others than its owner can read the key file.
    #[error("the key file {path} can be read by others (mode {mode:o}); run: chmod 600 {path}")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file does not hold a key.
    #[error("the key file {path} is damaged: restore it from a backup, without it no stored password can be read")]
    Damaged {
        /// The key file.
        path: PathBuf,
    },
    /// The cipher text was changed, or sealed with another key.
    #[error("a stored secret cannot be opened: it was changed, or belongs to another key file")]
    Unsealable,
}
