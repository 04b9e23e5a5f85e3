//! From rows to a view: what happens once, when the store is opened.

use std::sync::Arc;

use pilothouse_model::{AclRule, Database, Document, Event, Host, Operation, Role, Tenant, User};

use crate::event::Events;
use crate::record::{Record, RowKey, Stored, Table, decode};
use crate::view::View;
use crate::wire_id::{CounterRow, WireIdRow};
use crate::{Setting, StoreError};

/// A row that was read and understood.
pub(crate) enum Row {
    Tenant(Arc<Stored<Tenant>>),
    Host(Arc<Stored<Host>>),
    Database(Arc<Stored<Database>>),
    Operation(Arc<Stored<Operation>>),
    User(Arc<Stored<User>>),
    Role(Arc<Stored<Role>>),
    AclRule(Arc<Stored<AclRule>>),
    Document(Arc<Stored<Document>>),
    Setting(Arc<Stored<Setting>>),
    WireId(Stored<WireIdRow>),
    Counter(Stored<CounterRow>),
    Event(u64, Arc<Stored<Event>>),
}

impl Row {
    /// Reads a row, and checks that its key is the one that its content asks for.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        Ok(match RowKey::from_bytes(key).table()? {
            Table::Tenant => Self::Tenant(record(key, value)?),
            Table::Host => Self::Host(record(key, value)?),
            Table::Database => Self::Database(record(key, value)?),
            Table::Operation => Self::Operation(record(key, value)?),
            Table::User => Self::User(record(key, value)?),
            Table::Role => Self::Role(record(key, value)?),
            Table::AclRule => Self::AclRule(record(key, value)?),
            Table::Document => Self::Document(record(key, value)?),
            Table::Setting => Self::Setting(record(key, value)?),
            Table::WireId => {
                let row: Stored<WireIdRow> = decode(key, value)?;
                check(key, &WireIdRow::key(&row.scheme, row.subject))?;
                Self::WireId(row)
            }
            Table::Counter => {
                let row: Stored<CounterRow> = decode(key, value)?;
                check(key, &CounterRow::key(&row.scheme))?;
                Self::Counter(row)
            }
            Table::Event => {
                let place = key[1..]
                    .first_chunk::<8>()
                    .map_or(0, |bytes| u64::from_be_bytes(*bytes));
                check(key, &Events::key(place))?;
                Self::Event(place, Arc::new(decode(key, value)?))
            }
        })
    }
}

fn record<R: Record>(key: &[u8], value: &[u8]) -> Result<Arc<Stored<R>>, StoreError> {
    let stored: Stored<R> = decode(key, value)?;
    check(key, &RowKey::of::<R>(&stored.id()))?;
    Ok(Arc::new(stored))
}

fn check(key: &[u8], expected: &RowKey) -> Result<(), StoreError> {
    if key == expected.as_bytes() {
        Ok(())
    } else {
        let key = RowKey::from_bytes(key);
        Err(StoreError::Damaged(format!(
            "row {key:?} holds what belongs to row {expected:?}"
        )))
    }
}

impl View {
    /// Takes a row in.
    pub(crate) fn admit(&mut self, row: Row) {
        match row {
            Row::Tenant(stored) => self.nouns.tenants.insert(stored),
            Row::Host(stored) => self.nouns.hosts.insert(stored),
            Row::Database(stored) => self.nouns.databases.insert(stored),
            Row::Operation(stored) => self.nouns.operations.insert(stored),
            Row::User(stored) => self.nouns.users.insert(stored),
            Row::Role(stored) => self.nouns.roles.insert(stored),
            Row::AclRule(stored) => self.nouns.acl_rules.insert(stored),
            Row::Document(stored) => self.nouns.documents.insert(stored),
            Row::Setting(stored) => self.nouns.settings.insert(stored),
            Row::WireId(row) => self.wire_ids.insert(row.revision, &row.record),
            Row::Counter(row) => self.wire_ids.set_counter(row.revision, &row.record),
            Row::Event(place, event) => self.events.insert(place, event),
        }
    }
}
