//! The format version, and the way from every older one to the newest.
//!
//! The number speaks for the rows as a whole. Once a version was released, every change of a record is a new format, a field with a
//! default too, although its migration has nothing to do: an older program would drop the field without a word, and must be refused.
//! Append a function to [`MIGRATIONS`] and a test that starts from rows as the old version wrote them.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::Medium;
    use crate::store::{Options, Store};
    use crate::{Setting, Urgency};

    /// A format 2 in which settings are kept in upper case, made up for these tests.
    fn upper_case(rows: &mut dyn Rows) -> Result<(), StoreError> {
        for (key, mut value) in rows.scan(Table::Setting)? {
            let old = value["key"].as_str().unwrap_or_default().to_owned();
            value["key"] = Value::String(old.to_uppercase());
            rows.remove(&key)?;
            rows.put(&RowKey::of::<Setting>(&old.to_uppercase()), &value)?;
        }
        Ok(())
    }

    fn failing(rows: &mut dyn Rows) -> Result<(), StoreError> {
        upper_case(rows)?;
        Err(StoreError::Damaged("a row that no migration expected".to_owned()))
    }

    fn keys(store: &Store) -> Vec<String> {
        store
            .view()
            .all::<Setting>()
            .map(|setting| setting.key.clone())
            .collect()
    }

    async fn old_store(folder: &tempfile::TempDir) -> Medium {
        let medium = Medium::File(folder.path().join("state.redb"));
        let store = Store::start(medium.clone(), Options::default(), &[]).unwrap();
        let value = Value::from(1);
        store
            .transact(Urgency::Normal, |tx| {
                tx.put(Setting {
                    key: "a".to_owned(),
                    value: value.clone(),
                });
                tx.put(Setting {
                    key: "b".to_owned(),
                    value,
                });
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        store.close().await.unwrap();
        medium
    }

    #[tokio::test]
    async fn an_old_store_is_migrated_once_and_refused_by_old_programs() {
        let folder = tempfile::tempdir().unwrap();
        let medium = old_store(&folder).await;
        for _ in 0..2 {
            let store = Store::start(medium.clone(), Options::default(), &[upper_case]).unwrap();
            assert_eq!(keys(&store), ["A", "B"]);
            assert_eq!(store.view().revision().0, 1);
            store.close().await.unwrap();
        }
        let refused = Store::start(medium.clone(), Options::default(), &[]).err();
        assert!(
            matches!(refused, Some(StoreError::Newer { found: 2, known: 1 })),
            "{refused:?}"
        );
        // Refusing changed nothing.
        let store = Store::start(medium, Options::default(), &[upper_case]).unwrap();
        assert_eq!(keys(&store), ["A", "B"]);
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_the_old_store() {
        let folder = tempfile::tempdir().unwrap();
        let medium = old_store(&folder).await;
        let refused = Store::start(medium.clone(), Options::default(), &[upper_case, failing]).err();
        assert!(matches!(refused, Some(StoreError::Damaged(_))), "{refused:?}");
        let store = Store::start(medium, Options::default(), &[]).unwrap();
        assert_eq!(keys(&store), ["a", "b"]);
    }

    #[test]
    fn what_is_no_store_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        std::fs::write(&path, "somebody's notes").unwrap();
        assert!(Store::open(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's notes");
    }
}
