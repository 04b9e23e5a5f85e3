//! The state at one revision, in memory, immutable.

use std::fmt;
use std::sync::Arc;

use crate::event::Events;
use crate::nouns::Nouns;
use crate::record::{Record, Revision, Stored};
use crate::wire_id::WireIds;

/// All records, id maps and events at one revision, with the indexes over them.
///
/// A view never changes. It is made of persistent maps: cloning one copies some forty pointers, and the next revision shares with it
/// everything that did not change. The questions that need an index are answered in `nouns/`, each beside its noun.
#[derive(Clone, Default)]
pub struct View {
    pub(crate) revision: Revision,
    pub(crate) nouns: Nouns,
    pub(crate) wire_ids: WireIds,
    pub(crate) events: Events,
}

impl View {
    /// The last transaction that this view contains.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The record with that id.
    pub fn get<R: Record>(&self, id: &R::Id) -> Option<&Arc<Stored<R>>> {
        R::shelf(&self.nouns).records.get(id)
    }

    /// Every record of a noun in the order of the ids, which for all but settings and documents is the order of creation.
    pub fn all<R: Record>(&self) -> impl DoubleEndedIterator<Item = &Arc<Stored<R>>> + ExactSizeIterator {
        R::shelf(&self.nouns).records.values()
    }

    /// How many records of a noun there are.
    pub fn count<R: Record>(&self) -> usize {
        R::shelf(&self.nouns).records.len()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View at {}", self.revision)
    }
}
