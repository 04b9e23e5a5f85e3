//! What can go wrong with secrets. No message holds any part of a secret.

use std::path::PathBuf;

/// A key file that cannot be used, or a sealed secret that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// There is no key file where one must be.
    #[error("there is no key file at {path}; without it no stored secret can be opened")]
    Missing {
        /// Where it must be.
        path: PathBuf,
    },
    /// Somebody else may read or write the key file.
    #[error("the key file {path} is open to others ({found}); it must belong to this account and have mode 0600")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// What was found, for instance `mode 0644`.
        found: String,
    },
    /// The key file is not whole.
    #[error(
        "the key file {path} is damaged: {reason}; restore it from a copy, a new one would not open what is stored"
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refused something.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried, a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The secret was sealed with another key.
    #[error("the secret was sealed with key {sealed_with}, this key file holds {held}")]
    WrongKey {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// The id of the key at hand.
        held: String,
    },
    /// The sealed text was changed, cut, or never was one.
    #[error("the sealed secret is damaged")]
    Tampered,
}
