//! The contract with what keeps the rows: an ordered map of small values that takes a set of conditional writes as one.
//!
//! It is what both an embedded store and etcd v3 can give. A [`Batch`] is a compare-and-write: each row must be at the revision that the
//! planner saw, and then all are written or none. With the lock on the data directory held nobody else writes, so a condition that fails
//! is a fault and not a race; the reads that a plan rests on need no conditions of their own for the same reason.

use std::collections::BTreeMap;

use crate::StoreError;
use crate::record::{Revision, RowKey};

/// One row: what it must be, and what it becomes.
pub(crate) struct Write {
    /// The revision at which the row must be; `None`: it must not exist.
    pub(crate) expected: Option<Revision>,
    /// What it becomes; `None`: it goes.
    pub(crate) value: Option<Vec<u8>>,
}

/// Transactions that are written together.
pub(crate) struct Batch {
    /// The revision of the store before it.
    pub(crate) base: Revision,
    /// The revision of the store after it.
    pub(crate) revision: Revision,
    /// The rows in key order, which is the order in which a tree takes them fastest.
    pub(crate) writes: BTreeMap<RowKey, Write>,
}

/// Takes the key and the value of a row.
pub(crate) type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// What keeps the rows. Used by one thread, which it may block.
pub(crate) trait Backend: Send {
    /// Hands every row to `visit` in key order, and returns the revision of the store.
    fn load(&mut self, visit: &mut RowVisitor<'_>) -> Result<Revision, StoreError>;

    /// Writes the batch and returns when it would survive a loss of power. After an error the store is as before the batch, now or at the
    /// latest before the next commit looks at it; a back end that lost its connection or its file restores it then.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// The most rows in one batch; at least [`crate::transaction::ROWS_MAX`].
    fn rows_max(&self) -> usize;

    /// Leaves everything in order. Nothing is called afterwards.
    fn close(&mut self) -> Result<(), StoreError>;
}
