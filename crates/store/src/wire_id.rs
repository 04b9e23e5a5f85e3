//! Id maps: by which id a dialect knows a subject. A scheme is one map of one dialect, for instance the `uid`s of databases.
//!
//! In a scheme a subject has at most one id and an id belongs to at most one subject. Numbers come from a counter that is stored as a
//! high-water mark with the row that it gave out, so a number is never given out twice, whatever was deleted or crashed in between.

use std::sync::Arc;

use std::fmt;

use imbl::OrdMap;
use pilothouse_model::Subject;
use serde::{Deserialize, Serialize};

use crate::record::{RecordId, Revision, RowKey, Stored, Table};
use crate::view::View;

/// Numbers above this are nobody's next number: JSON readers lose them. They can be assigned, but never raise a counter.
const COUNTED_MAX: u64 = (1 << 53) - 1;

/// The id by which a dialect knows a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WireId {
    /// A number.
    Number(u64),
    /// A text: a UUID, a name, forty hexadecimal digits.
    Text(String),
}

impl WireId {
    /// The number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Text(text) => Some(text),
        }
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<u64> for WireId {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for WireId {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for WireId {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A row of an id map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireIdRow {
    pub(crate) scheme: Box<str>,
    pub(crate) subject: Subject,
    pub(crate) id: WireId,
}

impl WireIdRow {
    pub(crate) fn key(scheme: &str, subject: Subject) -> RowKey {
        RowKey::build(Table::WireId, |bytes| {
            bytes.extend_from_slice(scheme.as_bytes());
            bytes.push(0);
            subject.write_to(bytes);
        })
    }
}

/// The counter of a scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CounterRow {
    pub(crate) scheme: Box<str>,
    /// The next number to give out: above every number that this scheme ever knew.
    pub(crate) next: u64,
}

impl CounterRow {
    pub(crate) fn key(scheme: &str) -> RowKey {
        RowKey::build(Table::Counter, |bytes| bytes.extend_from_slice(scheme.as_bytes()))
    }
}

/// One id map.
#[derive(Clone, Default)]
pub(crate) struct Scheme {
    by_subject: OrdMap<Subject, Stored<WireId>>,
    by_id: OrdMap<WireId, Subject>,
    counter: Option<Stored<u64>>,
}

impl Scheme {
    pub(crate) fn id_of(&self, subject: &Subject) -> Option<&Stored<WireId>> {
        self.by_subject.get(subject)
    }

    pub(crate) fn subject_of(&self, id: &WireId) -> Option<Subject> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn counter(&self) -> Option<&Stored<u64>> {
        self.counter.as_ref()
    }

    /// The counter after a number was seen; `None` when it stays as it is.
    pub(crate) fn counter_after(&self, number: u64) -> Option<u64> {
        let next = self.counter.as_ref().map_or(0, |counter| *counter.record);
        (number <= COUNTED_MAX && number >= next).then(|| number + 1)
    }

    /// The next free number, at least `first`. A number that somebody assigned by hand without raising the counter is skipped.
    pub(crate) fn next_number(&self, first: u64) -> u64 {
        let mut number = self
            .counter
            .as_ref()
            .map_or(first, |counter| (*counter.record).max(first));
        while self.by_id.contains_key(&WireId::Number(number)) {
            number += 1;
        }
        number
    }
}

/// All id maps, by scheme.
#[derive(Clone, Default)]
pub(crate) struct WireIds {
    schemes: OrdMap<Box<str>, Scheme>,
}

impl WireIds {
    pub(crate) fn scheme(&self, scheme: &str) -> Option<&Scheme> {
        self.schemes.get(scheme)
    }

    /// The schemes in which a subject has an id.
    pub(crate) fn schemes_of(&self, subject: &Subject) -> Vec<Box<str>> {
        let schemes = self
            .schemes
            .iter()
            .filter(|(_, scheme)| scheme.by_subject.contains_key(subject));
        schemes.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn insert(&mut self, revision: Revision, row: &WireIdRow) {
        let scheme = self.schemes.entry(row.scheme.clone()).or_default();
        let stored = Stored {
            revision,
            record: Arc::new(row.id.clone()),
        };
        if let Some(old) = scheme.by_subject.insert(row.subject, stored) {
            scheme.by_id.remove(&*old.record);
        }
        scheme.by_id.insert(row.id.clone(), row.subject);
    }

    pub(crate) fn remove(&mut self, scheme: &str, subject: &Subject) -> Option<Stored<WireId>> {
        let scheme = self.schemes.get_mut(scheme)?;
        let old = scheme.by_subject.remove(subject)?;
        scheme.by_id.remove(&*old.record);
        Some(old)
    }

    pub(crate) fn set_counter(&mut self, revision: Revision, row: &CounterRow) {
        let scheme = self.schemes.entry(row.scheme.clone()).or_default();
        scheme.counter = Some(Stored {
            revision,
            record: Arc::new(row.next),
        });
    }
}

impl View {
    /// The id of a subject in a scheme.
    pub fn wire_id(&self, scheme: &str, subject: &Subject) -> Option<WireId> {
        let scheme = self.wire_ids.scheme(scheme)?;
        scheme.id_of(subject).map(|stored| stored.record.as_ref().clone())
    }

    /// The number of a subject in a scheme that gives out numbers.
    pub fn wire_number(&self, scheme: &str, subject: &Subject) -> Option<u64> {
        self.wire_ids.scheme(scheme)?.id_of(subject)?.record.number()
    }

    /// The subject with an id in a scheme.
    pub fn subject_of(&self, scheme: &str, id: &WireId) -> Option<Subject> {
        self.wire_ids.scheme(scheme)?.subject_of(id)
    }

    /// Every id of a scheme with its subject, in the order of the ids.
    pub fn wire_ids(&self, scheme: &str) -> impl Iterator<Item = (&WireId, Subject)> {
        let scheme = self.wire_ids.scheme(scheme);
        scheme
            .into_iter()
            .flat_map(|scheme| scheme.by_id.iter().map(|(id, subject)| (id, *subject)))
    }
}
