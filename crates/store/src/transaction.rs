//! A transaction while its closure runs: what it reads is the newest planned state, what it writes is seen by itself at once.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use pilothouse_model::{Document, Event, EventDraft, EventId, Subject, Timestamp};
use serde::Serialize;

use crate::backend::Write;
use crate::event::Events;
use crate::record::{Record, Revision, RowKey, Stored, Table, encode};
use crate::view::View;
use crate::wire_id::{CounterRow, WireId, WireIdRow};
use crate::{StoreError, WireIdTaken};

/// The most rows that one transaction may write: what etcd takes in one.
pub(crate) const ROWS_MAX: usize = 100;

/// The writes of one transaction, collected while its closure runs. See [`crate::Store::transact`].
///
/// A write that no back end could take (a row too large, too many rows) is noticed when the closure has returned, and then fails the whole.
pub struct Transaction<'a> {
    view: View,
    writes: BTreeMap<RowKey, Write>,
    failure: Option<StoreError>,
    /// A transaction lives no longer than its closure.
    closure: PhantomData<&'a mut ()>,
}

impl Transaction<'_> {
    pub(crate) fn new(staged: &View) -> Self {
        let mut view = staged.clone();
        view.revision = staged.revision.next();
        Self {
            view,
            writes: BTreeMap::new(),
            failure: None,
            closure: PhantomData,
        }
    }

    /// The newest planned state with the writes of this transaction. It may hold what is not on disk yet; whoever is answered on the
    /// grounds of it is answered only when it is.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Creates the record, or replaces the one with its id.
    pub fn put<R: Record>(&mut self, record: R) {
        let id = record.id();
        let old = R::shelf(&self.view.nouns)
            .records
            .get(&id)
            .map(|stored| stored.revision);
        self.write(R::TABLE, RowKey::of::<R>(&id), old, &record);
        let stored = Arc::new(Stored {
            revision: self.view.revision,
            record: Arc::new(record),
        });
        R::shelf_mut(&mut self.view.nouns).insert(stored);
    }

    /// Removes the record with that id; nothing happens if there is none. Its documents and wire ids are the caller's to remove:
    /// [`Transaction::delete_documents_of`], [`Transaction::release_wire_ids`].
    pub fn delete<R: Record>(&mut self, id: &R::Id) {
        if let Some(old) = R::shelf_mut(&mut self.view.nouns).remove(id) {
            self.erase(RowKey::of::<R>(id), old.revision);
        }
    }

    /// Removes every document that hangs on the subject.
    pub fn delete_documents_of(&mut self, subject: &Subject) {
        let keys: Vec<_> = self
            .view
            .documents_of(subject)
            .map(|document| document.key.clone())
            .collect();
        for key in keys {
            self.delete::<Document>(&key);
        }
    }

    /// Gives the subject the next number of the scheme, `first` if it is the scheme's first one. A number that the subject already has stays.
    /// The counter is part of the transaction: a number that was ever on disk is never given out again.
    pub fn allocate_number(&mut self, scheme: &str, first: u64, subject: Subject) -> u64 {
        if let Some(number) = self.view.wire_number(scheme, &subject) {
            return number;
        }
        let number = self
            .view
            .wire_ids
            .scheme(scheme)
            .map_or(first, |scheme| scheme.next_number(first));
        self.put_wire_id(scheme, subject, WireId::Number(number));
        number
    }

    /// Gives the subject that id in the scheme, in place of the one it has. A number raises the counter above itself.
    ///
    /// # Errors
    /// Another subject has the id; nothing changed then.
    pub fn assign(&mut self, scheme: &str, subject: Subject, id: WireId) -> Result<(), WireIdTaken> {
        match self.view.subject_of(scheme, &id) {
            Some(by) if by == subject => Ok(()),
            Some(by) => Err(WireIdTaken {
                scheme: scheme.to_owned(),
                id,
                by,
            }),
            None => {
                self.put_wire_id(scheme, subject, id);
                Ok(())
            }
        }
    }

    /// Takes the subject's ids in every scheme away. Texts can be assigned again; numbers are not given out again.
    pub fn release_wire_ids(&mut self, subject: &Subject) {
        for scheme in self.view.wire_ids.schemes_of(subject) {
            if let Some(old) = self.view.wire_ids.remove(&scheme, subject) {
                self.erase(WireIdRow::key(&scheme, *subject), old.revision);
            }
        }
    }

    /// Appends to the event log.
    pub fn append_event(&mut self, at: Timestamp, draft: EventDraft) -> EventId {
        let event = Event {
            id: EventId::new(),
            at,
            what: draft,
        };
        let id = event.id;
        let place = self.view.events.next_place();
        self.write(Table::Event, Events::key(place), None, &event);
        let stored = Arc::new(Stored {
            revision: self.view.revision,
            record: Arc::new(event),
        });
        self.view.events.insert(place, stored);
        id
    }

    /// Removes the oldest events until `max` are left or this transaction is full.
    pub(crate) fn trim_events(&mut self, max: usize) {
        while self.view.events.len() > max && self.writes.len() < ROWS_MAX {
            if let Some((place, event)) = self.view.events.remove_oldest() {
                self.erase(Events::key(place), event.revision);
            }
        }
    }

    /// What is to be written, and the view that results; `None` when there is nothing to write.
    pub(crate) fn finish(mut self) -> Result<Option<(Writes, View)>, StoreError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.writes
            .retain(|_, write| write.expected.is_some() || write.value.is_some());
        match self.writes.len() {
            0 => Ok(None),
            rows if rows > ROWS_MAX => Err(StoreError::TooManyRows { rows, max: ROWS_MAX }),
            _ => Ok(Some((self.writes, self.view))),
        }
    }

    fn put_wire_id(&mut self, scheme: &str, subject: Subject, id: WireId) {
        let known = self.view.wire_ids.scheme(scheme);
        let old = known
            .and_then(|scheme| scheme.id_of(&subject))
            .map(|stored| stored.revision);
        let counter = known.and_then(|scheme| scheme.counter()).map(|stored| stored.revision);
        let next = id.number().and_then(|number| match known {
            Some(scheme) => scheme.counter_after(number),
            None => crate::wire_id::Scheme::default().counter_after(number),
        });
        let row = WireIdRow {
            scheme: scheme.into(),
            subject,
            id,
        };
        self.write(Table::WireId, WireIdRow::key(scheme, subject), old, &row);
        self.view.wire_ids.insert(self.view.revision, &row);
        if let Some(next) = next {
            let row = CounterRow {
                scheme: scheme.into(),
                next,
            };
            self.write(Table::Counter, CounterRow::key(scheme), counter, &row);
            self.view.wire_ids.set_counter(self.view.revision, &row);
        }
    }

    fn write(&mut self, table: Table, key: RowKey, old: Option<Revision>, content: &impl Serialize) {
        match encode(table, self.view.revision, content) {
            Ok(bytes) => self.note(key, old, Some(bytes)),
            Err(error) => self.failure = Some(error),
        }
    }

    fn erase(&mut self, key: RowKey, old: Revision) {
        self.note(key, Some(old), None);
    }

    /// The first write of a row in this transaction says at which revision the row must be; the last one says what it becomes.
    fn note(&mut self, key: RowKey, old: Option<Revision>, value: Option<Vec<u8>>) {
        self.writes
            .entry(key)
            .and_modify(|write| write.value.clone_from(&value))
            .or_insert(Write { expected: old, value });
    }
}

/// The rows that a transaction writes.
pub(crate) type Writes = BTreeMap<RowKey, Write>;
