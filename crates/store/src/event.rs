//! The event log: append-only, bounded, oldest first. A row's key is its place in the log, so that a clock set back cannot reorder it.

use std::sync::Arc;

use imbl::OrdMap;
use pilothouse_model::Event;

use crate::record::{RowKey, Stored, Table};
use crate::view::View;

/// The events that are kept, by their place in the log.
#[derive(Clone, Default)]
pub(crate) struct Events {
    kept: OrdMap<u64, Arc<Stored<Event>>>,
}

impl Events {
    pub(crate) fn key(place: u64) -> RowKey {
        RowKey::build(Table::Event, |bytes| bytes.extend_from_slice(&place.to_be_bytes()))
    }

    pub(crate) fn next_place(&self) -> u64 {
        self.kept.get_max().map_or(1, |(place, _)| place + 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn insert(&mut self, place: u64, event: Arc<Stored<Event>>) {
        self.kept.insert(place, event);
    }

    pub(crate) fn remove_oldest(&mut self) -> Option<(u64, Arc<Stored<Event>>)> {
        let place = self.kept.get_min()?.0;
        self.kept.remove(&place).map(|event| (place, event))
    }
}

impl View {
    /// The events that are kept, oldest first; `.rev()` gives the newest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Arc<Stored<Event>>> + ExactSizeIterator {
        self.events.kept.values()
    }

    /// The events that are kept, newest first, with their places: numbers from 1 on that are never given twice and do not change.
    pub fn newest_events(&self) -> impl Iterator<Item = (u64, &Arc<Stored<Event>>)> {
        self.events.kept.iter().rev().map(|(place, event)| (*place, event))
    }
}
