//! Documents: what only one dialect knows. Attached to a subject, written with it, removed with it, read by no planner.

use std::sync::Arc;

use pilothouse_model::{Database, Dialect, Document, DocumentKey, EventDraft, Subject};
use pilothouse_store::Transaction;
use serde_json::Value;

use crate::{Caller, Control, ControlError, DocumentWrite, Field, Noun};

/// Longest document, bytes of JSON text.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

impl Control {
    /// A dialect's document about a subject.
    pub fn document(&self, dialect: Dialect, subject: &Subject, kind: &str) -> Option<Arc<Document>> {
        let key = DocumentKey {
            dialect,
            subject: *subject,
            kind: kind.to_owned(),
        };
        self.store()
            .view()
            .get::<Document>(&key)
            .map(|document| Arc::clone(&document.record))
    }

    /// Writes a document of the caller's dialect.
    pub async fn put_document(
        &self,
        caller: &Caller,
        subject: Subject,
        document: DocumentWrite,
        event: Option<EventDraft>,
    ) -> Result<(), ControlError> {
        let DocumentWrite { kind, version, body } = document;
        self.update_document(caller, subject, kind, version, move |_| Ok(body), event)
            .await
            .map(|_| ())
    }

    /// Reads a document of the caller's dialect, changes it and writes it, without anybody in between. Returns what was written. About a
    /// database that is gone nothing is written: it would stay for ever.
    pub async fn update_document(
        &self,
        caller: &Caller,
        subject: Subject,
        kind: &'static str,
        version: u32,
        change: impl FnOnce(Option<&Value>) -> Result<Value, ControlError> + Send,
        event: Option<EventDraft>,
    ) -> Result<Value, ControlError> {
        let dialect = caller.dialect;
        let now = self.now();
        self.commit(caller, move |transaction| {
            if let Subject::Database(id) = subject
                && transaction.view().get::<Database>(&id).is_none()
            {
                return Err(ControlError::not_found(Noun::Database));
            }
            let key = DocumentKey {
                dialect,
                subject,
                kind: kind.to_owned(),
            };
            let body = change(transaction.view().get::<Document>(&key).map(|document| &document.body))?;
            write(
                transaction,
                dialect,
                subject,
                DocumentWrite {
                    kind,
                    version,
                    body: body.clone(),
                },
            )?;
            if let Some(event) = event {
                transaction.append_event(now, event);
            }
            Ok(body)
        })
        .await
    }

    /// Removes a document of the caller's dialect; success when there is none.
    pub async fn delete_document(&self, caller: &Caller, subject: Subject, kind: &str) -> Result<(), ControlError> {
        let key = DocumentKey {
            dialect: caller.dialect,
            subject,
            kind: kind.to_owned(),
        };
        self.commit(caller, move |transaction| {
            transaction.delete::<Document>(&key);
            Ok(())
        })
        .await
    }
}

/// Writes a document in a transaction.
pub(crate) fn write(
    transaction: &mut Transaction<'_>,
    dialect: Dialect,
    subject: Subject,
    document: DocumentWrite,
) -> Result<(), ControlError> {
    let length = document.body.to_string().len();
    if length > DOCUMENT_BYTES_MAX {
        let why = format!(
            "{} bytes of settings of this API are more than {DOCUMENT_BYTES_MAX}",
            length
        );
        return Err(ControlError::invalid(Field::Document, why));
    }
    let key = DocumentKey {
        dialect,
        subject,
        kind: document.kind.to_owned(),
    };
    transaction.put(Document {
        key,
        version: document.version,
        body: document.body,
    });
    Ok(())
}

/// Removes every document of a subject.
pub(crate) fn remove_all(transaction: &mut Transaction<'_>, subject: &Subject) {
    let keys: Vec<DocumentKey> = transaction
        .view()
        .documents_of(subject)
        .map(|document| document.key.clone())
        .collect();
    for key in keys {
        transaction.delete::<Document>(&key);
    }
}
