//! What a record is: something with an id, kept as one row.

use std::fmt;
use std::ops::Deref;

use imbl::OrdMap;
use pilothouse_model::{
    AclRuleId, DatabaseId, DocumentKey, GroupId, HostId, OperationId, RoleId, Subject, TenantId, UserId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::StoreError;

/// Counts transactions: each one that writes gets the next number. Views and rows carry the revision that made them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A kind of row. The numbers are part of the format: they are never changed and never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// [`pilothouse_model::Tenant`].
    Tenant = 1,
    /// [`pilothouse_model::Host`].
    Host = 2,
    /// [`pilothouse_model::Database`].
    Database = 3,
    /// [`pilothouse_model::Operation`].
    Operation = 4,
    /// [`pilothouse_model::User`].
    User = 5,
    /// [`pilothouse_model::Role`].
    Role = 6,
    /// [`pilothouse_model::AclRule`].
    AclRule = 7,
    /// [`pilothouse_model::Document`].
    Document = 8,
    /// [`crate::Setting`].
    Setting = 9,
    /// One wire id of one subject.
    WireId = 10,
    /// The next number of one id scheme.
    Counter = 11,
    /// [`pilothouse_model::Event`].
    Event = 12,
    /// [`pilothouse_model::DatabaseGroup`].
    DatabaseGroup = 13,
}

impl Table {
    const ALL: [Self; 13] = [
        Self::Tenant,
        Self::Host,
        Self::Database,
        Self::Operation,
        Self::User,
        Self::Role,
        Self::AclRule,
        Self::Document,
        Self::Setting,
        Self::WireId,
        Self::Counter,
        Self::Event,
        Self::DatabaseGroup,
    ];

    /// The most bytes that one row may take: what etcd carries safely, and what was promised for a dialect's documents.
    pub(crate) const fn max_bytes(self) -> usize {
        match self {
            Self::Document => 64 * 1024,
            _ => 512 * 1024 - 1,
        }
    }
}

/// A record at the revision that wrote it. Derefs to the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<R> {
    /// The transaction that wrote it last.
    pub revision: Revision,
    /// The record, shared: handing it out costs no copy.
    pub record: Arc<R>,
}

impl<R> Deref for Stored<R> {
    type Target = R;
    fn deref(&self) -> &R {
        &self.record
    }
}

/// A noun that the store keeps, one row for each id. Implemented in `nouns/`, one file each; nobody else can implement it.
pub trait Record: sealed::Noun + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What names one.
    type Id: RecordId;
    /// Which kind of row it is.
    const TABLE: Table;
    /// The id of this one.
    fn id(&self) -> Self::Id;
}

/// What can name a record. Its order is the order in which [`crate::View::all`] goes through the records.
pub trait RecordId: Clone + Ord + Send + Sync + 'static {
    /// Appends the bytes that name the record within its table; no two ids give the same bytes.
    fn write_to(&self, bytes: &mut Vec<u8>);
}

macro_rules! uuid_ids {
    ($($id:ty),+) => {$(
        impl RecordId for $id {
            fn write_to(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(self.as_bytes());
            }
        }
    )+};
}

uuid_ids!(
    TenantId,
    HostId,
    GroupId,
    DatabaseId,
    OperationId,
    UserId,
    RoleId,
    AclRuleId
);

impl RecordId for String {
    fn write_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl RecordId for Subject {
    fn write_to(&self, bytes: &mut Vec<u8>) {
        let (tag, id): (u8, &[u8]) = match self {
            Self::Installation => (0, &[]),
            Self::Tenant(id) => (1, id.as_bytes()),
            Self::Database(id) => (2, id.as_bytes()),
            Self::Server(id) => (3, id.as_bytes()),
            Self::Host(id) => (4, id.as_bytes()),
            Self::User(id) => (5, id.as_bytes()),
            Self::Role(id) => (6, id.as_bytes()),
            Self::AclRule(id) => (7, id.as_bytes()),
            Self::Group(id) => (8, id.as_bytes()),
        };
        bytes.push(tag);
        bytes.extend_from_slice(id);
    }
}

impl RecordId for DocumentKey {
    fn write_to(&self, bytes: &mut Vec<u8>) {
        self.subject.write_to(bytes);
        bytes.extend_from_slice(self.dialect.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.kind.as_bytes());
    }
}

/// The key of a row: the number of its table, then the id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey(Box<[u8]>);

impl RowKey {
    pub(crate) fn build(table: Table, write_id: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::with_capacity(17);
        bytes.push(table as u8);
        write_id(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    pub(crate) fn of<R: Record>(id: &R::Id) -> Self {
        Self::build(R::TABLE, |bytes| id.write_to(bytes))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn table(&self) -> Result<Table, StoreError> {
        Table::ALL
            .into_iter()
            .find(|table| self.0.first() == Some(&(*table as u8)))
            .ok_or_else(|| StoreError::Damaged(format!("row {self:?} belongs to no known table")))
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Table::ALL
            .into_iter()
            .find(|table| self.0.first() == Some(&(*table as u8)))
        {
            Some(table) => write!(f, "{table:?}/{}", self.0[1..].escape_ascii()),
            None => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// The bytes of a row: revision, then JSON.
pub(crate) fn encode(table: Table, revision: Revision, content: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&revision.0.to_be_bytes());
    serde_json::to_writer(&mut bytes, content)
        .map_err(|error| StoreError::Damaged(format!("a row of {table:?} cannot be written as JSON: {error}")))?;
    if bytes.len() > table.max_bytes() {
        return Err(StoreError::TooLarge {
            table,
            bytes: bytes.len(),
            max: table.max_bytes(),
        });
    }
    Ok(bytes)
}

/// The revision that wrote the row with these bytes.
pub(crate) fn revision_of(key: &[u8], bytes: &[u8]) -> Result<Revision, StoreError> {
    let head = bytes
        .first_chunk::<8>()
        .ok_or_else(|| StoreError::Damaged(format!("row {:?} is cut off", RowKey::from_bytes(key))))?;
    Ok(Revision(u64::from_be_bytes(*head)))
}

/// The content of a row.
pub(crate) fn decode<C: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<Stored<C>, StoreError> {
    let revision = revision_of(key, bytes)?;
    let record = serde_json::from_slice(&bytes[8..])
        .map_err(|error| StoreError::Damaged(format!("row {:?} cannot be read: {error}", RowKey::from_bytes(key))))?;
    let record = Arc::new(record);
    Ok(Stored { revision, record })
}

/// The records of one noun with the indexes over them.
pub struct Shelf<R: Record> {
    pub(crate) records: OrdMap<R::Id, Arc<Stored<R>>>,
    pub(crate) index: R::Index,
}

impl<R: Record> Shelf<R> {
    pub(crate) fn insert(&mut self, stored: Arc<Stored<R>>) {
        let old = self.records.insert(stored.id(), Arc::clone(&stored));
        R::reindex(&mut self.index, old.as_deref().map(Deref::deref), Some(&stored));
    }

    pub(crate) fn remove(&mut self, id: &R::Id) -> Option<Arc<Stored<R>>> {
        let old = self.records.remove(id)?;
        R::reindex(&mut self.index, Some(&old), None);
        Some(old)
    }
}

// Derived implementations would ask for `R: Clone` and `R: Default`.
impl<R: Record> Clone for Shelf<R> {
    fn clone(&self) -> Self {
        Self {
            records: self.records.clone(),
            index: self.index.clone(),
        }
    }
}

impl<R: Record> Default for Shelf<R> {
    fn default() -> Self {
        Self {
            records: OrdMap::new(),
            index: R::Index::default(),
        }
    }
}

pub(crate) mod sealed {
    use crate::nouns::Nouns;
    use crate::record::Shelf;

    /// The part of [`super::Record`] that only the store sees: where the records stand and which indexes follow them.
    pub trait Noun: Sized {
        /// The indexes over the records of this noun.
        type Index: Clone + Default + Send + Sync;
        #[doc(hidden)]
        fn shelf(nouns: &Nouns) -> &Shelf<Self>
        where
            Self: super::Record;
        #[doc(hidden)]
        fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self>
        where
            Self: super::Record;
        /// Brings the indexes from `old` to `new`; `None` is a record that does not exist.
        fn reindex(index: &mut Self::Index, old: Option<&Self>, new: Option<&Self>);
    }
}
