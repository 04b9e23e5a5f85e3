//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_model::Subject;

use crate::{Table, WireId};

/// Why the store could not do what it was asked. Nothing of a transaction that failed is kept.
///
/// One reservation, for [`StoreError::NoSpace`] and [`StoreError::Io`]: when the disk fails in the middle of a commit *and* the
/// process dies before the store could look at the file again, the transaction may be found on disk at the next start. It is then there whole.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the quota, is full. The next transaction tries again.
    #[error("no space left for the store")]
    NoSpace,
    /// The disk failed. The next transaction opens the store again.
    #[error("{doing} failed")]
    Io {
        /// What was being done, and to which file.
        doing: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process holds the file open.
    #[error("the store is in use by another process")]
    InUse,
    /// The store was written by a newer version of this program.
    #[error(
        "the store has format {found}; this version of the program knows formats up to {known}. Start the newer version"
    )]
    Newer {
        /// The format found.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// The file holds what no version of this program wrote.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A record is too large for any back end.
    #[error("a row of {table:?} takes {bytes} bytes; at most {max} are allowed")]
    TooLarge {
        /// What kind of row.
        table: Table,
        /// What it takes.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A transaction writes too many rows for any back end.
    #[error("a transaction writes {rows} rows; at most {max} are allowed")]
    TooManyRows {
        /// What it writes.
        rows: usize,
        /// What is allowed.
        max: usize,
    },
    /// A row on disk is not at the revision that this process last saw: somebody else wrote to the store.
    #[error("row {0} was written by somebody else")]
    Conflict(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            // The disk gave what it has: the file points behind its own end.
            io::ErrorKind::UnexpectedEof => Self::Damaged(format!("{}: the file ends too early", doing.into())),
            _ => Self::Io {
                doing: doing.into(),
                source: Arc::new(source),
            },
        }
    }

    pub(crate) fn file(verb: &str, path: &Path, source: io::Error) -> Self {
        Self::io(format!("{verb} {}", PathBuf::from(path).display()), source)
    }
}

/// Why [`crate::Store::transact`] did nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransactError<E> {
    /// The closure refused. What it based that on is durable.
    #[error(transparent)]
    Rejected(E),
    /// The closure agreed, and the store could not write it; or what the closure had read was never written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The wire id belongs to another subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id} is taken in {scheme}")]
pub struct WireIdTaken {
    /// In which scheme.
    pub scheme: String,
    /// Which id.
    pub id: WireId,
    /// By whom.
    pub by: Subject,
}
