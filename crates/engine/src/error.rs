//! What can go wrong when speaking to a server, by what the caller should do about it.

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Try again later: a time-out, a lost connection, a server that loads or is busy.
    Transient,
    /// The server is not in the state that this needs.
    Conflict,
    /// The server refused our account.
    Denied,
    /// The data is damaged.
    Corrupt,
    /// This version cannot do it.
    Unsupported,
    /// What was asked is wrong and will stay wrong.
    Invalid,
    /// The server has no room: memory, disk.
    NoSpace,
}

/// A failed call to a server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What the caller should do.
    pub class: ErrorClass,
    /// One sentence, with the server's own words. Never a secret.
    pub message: String,
}

impl EngineError {
    /// An error of that class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }
}
