//! Documents of the dialects, found by the subject that they hang on.

use std::sync::Arc;

use imbl::OrdMap;
use pilothouse_model::{Document, DocumentKey, Subject};

use crate::nouns::Nouns;
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

/// Which documents hang on a subject: one to three, so a short list, sorted.
#[derive(Clone, Default)]
pub struct DocumentIndex {
    by_subject: OrdMap<Subject, Vec<DocumentKey>>,
}

impl sealed::Noun for Document {
    type Index = DocumentIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.documents
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.documents
    }

    fn reindex(index: &mut DocumentIndex, old: Option<&Self>, new: Option<&Self>) {
        match (old, new) {
            (None, Some(new)) => {
                let keys = index.by_subject.entry(new.key.subject).or_default();
                keys.push(new.key.clone());
                keys.sort();
            }
            (Some(old), None) => {
                if let Some(keys) = index.by_subject.get_mut(&old.key.subject) {
                    keys.retain(|key| *key != old.key);
                    if keys.is_empty() {
                        index.by_subject.remove(&old.key.subject);
                    }
                }
            }
            // The key is the id: it cannot have changed.
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

impl Record for Document {
    type Id = DocumentKey;
    const TABLE: Table = Table::Document;
    fn id(&self) -> DocumentKey {
        self.key.clone()
    }
}

impl View {
    /// The documents that hang on a subject, of every dialect.
    pub fn documents_of(&self, subject: &Subject) -> impl Iterator<Item = &Arc<Stored<Document>>> {
        let shelf = &self.nouns.documents;
        let keys = shelf.index.by_subject.get(subject).map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|key| shelf.records.get(key))
    }
}
