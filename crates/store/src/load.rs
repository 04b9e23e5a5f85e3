//! From rows to a view: what happens once, when the store is opened.
//!
//! Reading JSON takes most of the time of a restart, so it is spread over the processors: the back end is read on the caller's thread,
//! which also builds the view; rows are decoded in chunks on others.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pilothouse_model::{AclRule, Database, DatabaseGroup, Document, Event, Host, Operation, Role, Tenant, User};

use crate::backend::Backend;
use crate::event::Events;
use crate::record::{Record, RowKey, Stored, Table, decode};
use crate::view::View;
use crate::wire_id::{CounterRow, WireIdRow};
use crate::{Setting, StoreError};

/// Rows are handed to a decoder when about this many bytes have come together.
const CHUNK_BYTES: usize = 256 * 1024;

/// The threads that decode at most; more would wait for the reader.
const DECODERS_MAX: usize = 4;

/// Reads everything.
pub(crate) fn load(backend: &mut impl Backend) -> Result<View, StoreError> {
    let decoders = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(DECODERS_MAX);
    let (full, chunks) = sync_channel(2 * decoders);
    let (decoded, rows) = channel();
    let chunks = Arc::new(Mutex::new(chunks));
    thread::scope(|scope| {
        for _ in 0..decoders {
            let (chunks, decoded) = (Arc::clone(&chunks), decoded.clone());
            scope.spawn(move || decode_chunks(&chunks, &decoded));
        }
        // Only the decoders keep the inner ends: when they are gone, nobody waits for them.
        drop((chunks, decoded));
        read_and_build(backend, full, &rows)
    })
}

fn read_and_build(
    backend: &mut impl Backend,
    full: SyncSender<Chunk>,
    rows: &Receiver<Result<Vec<Row>, StoreError>>,
) -> Result<View, StoreError> {
    let mut view = View::default();
    let mut chunk = Chunk::default();
    let revision = backend.load(&mut |key, value| {
        chunk.push(key, value);
        if chunk.bytes.len() >= CHUNK_BYTES {
            // Refused only when the decoders panicked, which the scope passes on.
            let _ = full.send(std::mem::take(&mut chunk));
            for rows in rows.try_iter() {
                view.admit_all(rows?);
            }
        }
        Ok(())
    })?;
    let _ = full.send(chunk);
    drop(full);
    for rows in rows {
        view.admit_all(rows?);
    }
    view.revision = revision;
    Ok(view)
}

/// Rows as they were read, one after the other in one piece of memory.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each row ends: its key, its value.
    ends: Vec<(usize, usize)>,
}

impl Chunk {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
    }

    fn decode(&self) -> Result<Vec<Row>, StoreError> {
        let mut start = 0;
        let mut rows = Vec::with_capacity(self.ends.len());
        for (key_end, end) in &self.ends {
            rows.push(Row::decode(&self.bytes[start..*key_end], &self.bytes[*key_end..*end])?);
            start = *end;
        }
        Ok(rows)
    }
}

fn decode_chunks(chunks: &Mutex<Receiver<Chunk>>, decoded: &Sender<Result<Vec<Row>, StoreError>>) {
    loop {
        let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = chunk else { return };
        if decoded.send(chunk.decode()).is_err() {
            return;
        }
    }
}

/// A row that was read and understood.
enum Row {
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
    DatabaseGroup(Arc<Stored<DatabaseGroup>>),
}

impl Row {
    /// Reads a row, and checks that its key is the one that its content asks for.
    fn decode(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
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
            Table::DatabaseGroup => Self::DatabaseGroup(record(key, value)?),
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
    fn admit_all(&mut self, rows: Vec<Row>) {
        rows.into_iter().for_each(|row| self.admit(row));
    }

    fn admit(&mut self, row: Row) {
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
            Row::DatabaseGroup(stored) => self.nouns.groups.insert(stored),
            Row::WireId(row) => self.wire_ids.insert(row.revision, &row.record),
            Row::Counter(row) => self.wire_ids.set_counter(row.revision, &row.record),
            Row::Event(place, event) => self.events.insert(place, event),
        }
    }
}
