//! What can go wrong with a backup target or source, in classes that a caller can act on.

use std::error::Error;
use std::fmt;
use std::io;

/// A failed transfer: its class, what was tried, and the cause. Holds no password and no query of a URL.
#[derive(Debug)]
pub struct BackupError {
    kind: FailureKind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The target or source refuses us: file permissions, a login, a status like 403.
    NoPermission,
    /// The path does not exist or is not of the wanted kind.
    WrongPath,
    /// The other side was not reached, or the transfer broke off.
    Unreachable,
    /// The file came whole, but is not what it claims to be.
    Corrupted,
    /// The file is larger than allowed; nothing was kept.
    TooLarge,
    /// No space is left.
    NoSpace,
    /// This kind of location cannot do what was asked.
    Unsupported,
    /// The transfer was stopped by [`crate::Progress::cancel`].
    Cancelled,
    /// Anything else.
    Other,
}

impl BackupError {
    pub(crate) fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An error of a file of ours or of a mounted target.
    pub(crate) fn file(what: impl Into<String>, error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => FailureKind::NoPermission,
            Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => FailureKind::WrongPath,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => FailureKind::NoSpace,
            _ => FailureKind::Other,
        };
        Self::new(kind, what).because(error)
    }

    /// An error of a connection.
    pub(crate) fn connection(what: impl Into<String>, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(FailureKind::Unreachable, what).because(error)
    }

    /// The class.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The word of the Redis Enterprise API for a failed backup or export (`backup_failure_reason`).
    pub fn export_reason(&self) -> &'static str {
        match self.kind {
            FailureKind::NoPermission => "no-permission",
            FailureKind::WrongPath => "wrong-file-path",
            FailureKind::Unreachable
            | FailureKind::Corrupted
            | FailureKind::TooLarge
            | FailureKind::NoSpace
            | FailureKind::Unsupported
            | FailureKind::Cancelled
            | FailureKind::Other => "general-error",
        }
    }

    /// The word of the Redis Enterprise API for a failed import (`import_failure_reason`).
    pub fn import_reason(&self) -> &'static str {
        match self.kind {
            FailureKind::NoPermission | FailureKind::WrongPath | FailureKind::Unreachable => "download-error",
            FailureKind::Corrupted => "file-corrupted",
            FailureKind::TooLarge
            | FailureKind::NoSpace
            | FailureKind::Unsupported
            | FailureKind::Cancelled
            | FailureKind::Other => "general-error",
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for BackupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
