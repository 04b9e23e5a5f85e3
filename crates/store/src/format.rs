//! The format version, and the way from every older one to the newest.
//!
//! The number speaks for the rows as a whole. A change of a record that serde can bridge (a new field with a default) needs no new format;
//! everything else does: append a function to [`MIGRATIONS`] and a test that starts from rows as the old version wrote them.

use serde_json::Value;

use crate::StoreError;
use crate::record::{RowKey, Table};

/// Brings the rows from one format to the next. All steps that an old store needs run in one transaction of the back end:
/// after a crash it is at its old format still.
pub(crate) type Migration = fn(&mut dyn Rows) -> Result<(), StoreError>;

/// Entry `i` leads from format `i + 1` to format `i + 2`.
pub(crate) const MIGRATIONS: &[Migration] = &[];

/// The rows of a store that is being migrated.
#[cfg_attr(not(test), expect(dead_code, reason = "no format has been left behind yet"))]
pub(crate) trait Rows {
    /// Every row of a table: key, and value without the revision.
    fn scan(&self, table: Table) -> Result<Vec<(RowKey, Value)>, StoreError>;
    /// Writes a row; it keeps its revision, a new one has that of the store.
    fn put(&mut self, key: &RowKey, value: &Value) -> Result<(), StoreError>;
    /// Removes a row.
    fn remove(&mut self, key: &RowKey) -> Result<(), StoreError>;
}

/// The newest format under the given migrations.
pub(crate) const fn newest(migrations: &[Migration]) -> u64 {
    migrations.len() as u64 + 1
}

/// Brings rows of format `found` to the newest one. A format that is newer than this program is refused, not guessed at.
pub(crate) fn migrate(rows: &mut dyn Rows, found: u64, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = newest(migrations);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = found.checked_sub(1).and_then(|done| usize::try_from(done).ok());
    let Some(steps) = done.and_then(|done| migrations.get(done..)) else {
        return Err(StoreError::Damaged(format!(
            "no version of this program wrote format {found}"
        )));
    };
    for (step, from) in steps.iter().zip(found..) {
        tracing::info!(from, to = from + 1, "migrating the store");
        step(rows)?;
    }
    Ok(())
}
