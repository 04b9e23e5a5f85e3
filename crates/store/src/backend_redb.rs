//! The embedded back end: one redb file.
//!
//! **Commits** are redb's one-phase ones: one fsync each; every page has a checksum, and after a loss of power the newer of two roots whose
//! tree is intact counts. **After an IO error** redb wants to be opened again. A commit that failed may still have reached the disk, so the
//! file is read again (past the page cache, which lies after a failed fsync): if the batch is there it *was* committed; if that cannot be
//! found out now, the batch is answered as failed and taken back as soon as the file opens.

use std::io;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use crate::StoreError;
use crate::backend::{Backend, Batch, RowVisitor};
use crate::format::{self, Migration, Rows};
use crate::medium::Medium;
use crate::record::{Revision, RowKey, Table, revision_of};

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const REVISION: &str = "revision";

/// A redb file.
pub(crate) struct RedbBackend {
    medium: Medium,
    migrations: &'static [Migration],
    /// `None` after an IO error, until the file could be opened again.
    database: Option<Database>,
    /// A batch of which it is not known whether it reached the disk.
    doubt: Option<Doubt>,
}

/// What is needed to take a batch back.
struct Doubt {
    base: Revision,
    revision: Revision,
    before: Vec<(RowKey, Option<Vec<u8>>)>,
}

impl RedbBackend {
    /// Opens the file, makes it if it does not exist, and migrates it.
    pub(crate) fn open(medium: Medium, migrations: &'static [Migration]) -> Result<Self, StoreError> {
        let database = medium.open()?;
        prepare(&database, migrations)?;
        Ok(Self {
            medium,
            migrations,
            database: Some(database),
            doubt: None,
        })
    }

    /// The open database, opened again if need be; a batch in doubt stays in doubt.
    fn database(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() {
            self.medium.forget_cached_pages();
            let database = self.medium.open()?;
            prepare(&database, self.migrations)?;
            tracing::info!(medium = %self.medium, "the store is open again");
            self.database = Some(database);
        }
        Ok(self.database.as_ref().expect("was opened just now"))
    }

    /// Whether the batch in doubt reached the disk.
    fn doubt_is_on_disk(&mut self) -> Result<bool, StoreError> {
        let Some(revision) = self.doubt.as_ref().map(|doubt| doubt.revision) else {
            return Ok(false);
        };
        let on_disk = stored_revision(self.database()?)?;
        Ok(on_disk == revision)
    }

    /// Takes a batch back that was answered as failed and nevertheless reached the disk.
    fn settle_doubt(&mut self) -> Result<(), StoreError> {
        if self.doubt_is_on_disk()? {
            let doubt = self.doubt.take().expect("was asked about just now");
            let undone = take_back(self.database()?, &doubt);
            if let Err(error) = undone {
                self.database = None;
                self.doubt = Some(doubt);
                return Err(error);
            }
        }
        self.doubt = None;
        Ok(())
    }
}

impl Backend for RedbBackend {
    fn load(&mut self, visit: &mut RowVisitor<'_>) -> Result<Revision, StoreError> {
        let database = self.database()?;
        let transaction = database.begin_read().map_err(redb_error)?;
        for row in transaction
            .open_table(ROWS)
            .map_err(redb_error)?
            .iter()
            .map_err(redb_error)?
        {
            let (key, value) = row.map_err(redb_error)?;
            visit(key.value(), value.value())?;
        }
        stored_revision(database)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.settle_doubt()?;
        let mut before = Vec::with_capacity(batch.writes.len());
        let error = match write(self.database()?, batch, &mut before) {
            Ok(()) => return Ok(()),
            Err(error @ StoreError::Conflict(_)) => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(%error, revision = %batch.revision, "a commit failed; opening the store again");
        self.database = None;
        self.doubt = Some(Doubt {
            base: batch.base,
            revision: batch.revision,
            before,
        });
        match self.doubt_is_on_disk() {
            Ok(true) => {
                self.doubt = None;
                Ok(())
            }
            Ok(false) => {
                self.doubt = None;
                Err(error)
            }
            // Not known now: failed it is, and taken back later if need be.
            Err(_) => Err(error),
        }
    }

    fn rows_max(&self) -> usize {
        4096
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if self.doubt.is_some() {
            self.settle_doubt()?;
        }
        self.database = None;
        Ok(())
    }
}

fn write(database: &Database, batch: &Batch, before: &mut Vec<(RowKey, Option<Vec<u8>>)>) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(redb_error)?;
    {
        let mut rows = transaction.open_table(ROWS).map_err(redb_error)?;
        for (key, write) in &batch.writes {
            let old = match &write.value {
                Some(value) => rows.insert(key.as_bytes(), value.as_slice()),
                None => rows.remove(key.as_bytes()),
            };
            let old = old.map_err(redb_error)?.map(|old| old.value().to_vec());
            let old_revision = old.as_ref().map(|old| revision_of(key.as_bytes(), old)).transpose()?;
            if old_revision != write.expected {
                // The transaction is dropped without a commit.
                return Err(StoreError::Conflict(format!("{key:?}")));
            }
            before.push((key.clone(), old));
        }
        let mut meta = transaction.open_table(META).map_err(redb_error)?;
        meta.insert(REVISION, batch.revision.0).map_err(redb_error)?;
    }
    transaction.commit().map_err(redb_error)
}

fn take_back(database: &Database, doubt: &Doubt) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(redb_error)?;
    {
        let mut rows = transaction.open_table(ROWS).map_err(redb_error)?;
        for (key, value) in &doubt.before {
            match value {
                Some(value) => rows.insert(key.as_bytes(), value.as_slice()),
                None => rows.remove(key.as_bytes()),
            }
            .map_err(redb_error)?;
        }
        let mut meta = transaction.open_table(META).map_err(redb_error)?;
        meta.insert(REVISION, doubt.base.0).map_err(redb_error)?;
    }
    transaction.commit().map_err(redb_error)
}

fn stored_revision(database: &Database) -> Result<Revision, StoreError> {
    let transaction = database.begin_read().map_err(redb_error)?;
    let meta = transaction.open_table(META).map_err(redb_error)?;
    let revision = meta.get(REVISION).map_err(redb_error)?;
    Ok(Revision(revision.map_or(0, |revision| revision.value())))
}

/// Makes the tables of a new file, checks the format of an old one and migrates it.
fn prepare(database: &Database, migrations: &[Migration]) -> Result<(), StoreError> {
    let newest = format::newest(migrations);
    let transaction = database.begin_write().map_err(redb_error)?;
    {
        let mut meta = transaction.open_table(META).map_err(redb_error)?;
        let found = meta.get(FORMAT).map_err(redb_error)?.map(|format| format.value());
        if found == Some(newest) {
            return Ok(());
        }
        let revision = meta
            .get(REVISION)
            .map_err(redb_error)?
            .map_or(0, |revision| revision.value());
        let rows = transaction.open_table(ROWS).map_err(redb_error)?;
        if let Some(found) = found {
            let mut rows = OpenRows {
                rows,
                revision: Revision(revision),
            };
            format::migrate(&mut rows, found, migrations)?;
        }
        meta.insert(FORMAT, newest).map_err(redb_error)?;
        meta.insert(REVISION, revision).map_err(redb_error)?;
    }
    transaction.commit().map_err(redb_error)
}

/// The rows inside the transaction of a migration.
struct OpenRows<'a> {
    rows: redb::Table<'a, &'static [u8], &'static [u8]>,
    revision: Revision,
}

impl Rows for OpenRows<'_> {
    fn scan(&self, table: Table) -> Result<Vec<(RowKey, Value)>, StoreError> {
        let (first, after) = ([table as u8], [table as u8 + 1]);
        let range = self
            .rows
            .range(first.as_slice()..after.as_slice())
            .map_err(redb_error)?;
        range
            .map(|row| {
                let (key, value) = row.map_err(redb_error)?;
                let stored = crate::record::decode::<Value>(key.value(), value.value())?;
                Ok((RowKey::from_bytes(key.value()), stored.record.as_ref().clone()))
            })
            .collect()
    }

    fn put(&mut self, key: &RowKey, value: &Value) -> Result<(), StoreError> {
        let old = self.rows.get(key.as_bytes()).map_err(redb_error)?;
        let revision = old.map(|old| revision_of(key.as_bytes(), old.value())).transpose()?;
        let bytes = crate::record::encode(key.table()?, revision.unwrap_or(self.revision), value)?;
        self.rows.insert(key.as_bytes(), bytes.as_slice()).map_err(redb_error)?;
        Ok(())
    }

    fn remove(&mut self, key: &RowKey) -> Result<(), StoreError> {
        self.rows.remove(key.as_bytes()).map_err(redb_error)?;
        Ok(())
    }
}

/// What redb says, in the words of the store.
pub(crate) fn redb_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        // So redb says that the file is not, or not wholly, its own.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => StoreError::Damaged(error.to_string()),
        redb::Error::Io(error) => StoreError::io("reading or writing the store", error),
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
        redb::Error::PreviousIo => StoreError::io("using the store", io::Error::other("it failed before")),
        other => StoreError::Damaged(other.to_string()),
    }
}
