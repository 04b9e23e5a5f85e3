//! The document of a database: what this API was told and nothing else knows.

use std::sync::{Arc, LazyLock};

use pilothouse_api::JsonObject;
use pilothouse_model::{DatabaseId, Dialect, Document, Subject};

use crate::app::App;
use crate::wire::bdb::DOCUMENT;

/// The document of a database, shared with the store.
pub(crate) struct Kept(Option<Arc<Document>>);

impl Kept {
    pub(crate) fn of(app: &App, id: DatabaseId) -> Self {
        Self(
            app.control()
                .document(Dialect::RedisEnterprise, &Subject::Database(id), DOCUMENT),
        )
    }

    pub(crate) fn object(&self) -> &JsonObject {
        static EMPTY: LazyLock<JsonObject> = LazyLock::new(JsonObject::new);
        self.0
            .as_ref()
            .and_then(|document| document.body.as_object())
            .unwrap_or(&EMPTY)
    }
}

/// A copy of the document of a database.
pub(crate) fn document_of(app: &App, id: DatabaseId) -> JsonObject {
    Kept::of(app, id).object().clone()
}
