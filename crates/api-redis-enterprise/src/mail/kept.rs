//! Letters and promises of letters on disk: each in a document of what it is about, from when it is due until it is sent or given up.
//!
//! A crash between sending and forgetting sends a letter twice, under the same id; one before that loses none.

use std::collections::BTreeMap;

use lettre::Address;
use pilothouse_control::ControlError;
use pilothouse_model::{DatabaseId, OperationId, Subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::letter::Letter;
use crate::app::App;
use crate::auth::own_caller;
use crate::documents;

/// The document of a subject.
const DOCUMENT: &str = "mail";

/// What the document holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    letters: Vec<Letter>,
    /// Who is to be told of the end of operations.
    promises: BTreeMap<OperationId, Promise>,
}

/// Somebody is to be told how an operation ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Promise {
    /// `export` or `import`.
    pub(super) action: String,
    pub(super) to: Address,
}

/// A promise and what it is about.
pub(super) type Promised = (DatabaseId, OperationId, Promise);

/// What an earlier run left to be done.
pub(super) struct Left {
    pub(super) letters: Vec<Letter>,
    pub(super) promises: Vec<Promised>,
}

/// Keeps letters about a subject.
pub(super) async fn keep(app: &App, subject: Subject, letters: &[Letter]) {
    if !letters.is_empty() {
        change(app, subject, |kept| kept.letters.extend_from_slice(letters)).await;
    }
}

/// A letter needs to be kept no longer.
pub(super) async fn forget(app: &App, letter: &Letter) {
    change(app, letter.about, |kept| {
        kept.letters.retain(|known| known.id != letter.id)
    })
    .await;
}

/// Keeps a promise.
pub(super) async fn keep_promise(app: &App, (database, operation, promise): Promised) {
    change(app, Subject::Database(database), |kept| {
        _ = kept.promises.insert(operation, promise)
    })
    .await;
}

/// A promise is fulfilled by a letter, or void. One commit: neither is both kept and forgotten.
pub(super) async fn fulfil(app: &App, database: DatabaseId, operation: OperationId, letter: Option<&Letter>) {
    change(app, Subject::Database(database), |kept| {
        kept.promises.remove(&operation);
        kept.letters.extend(letter.cloned());
    })
    .await;
}

/// Everything that is kept.
pub(super) fn recall(app: &App) -> Left {
    let control = app.control();
    let databases = control.databases(&own_caller(app));
    let mut left = Left {
        letters: Vec::new(),
        promises: Vec::new(),
    };
    for view in databases {
        let id = view.database.id;
        let kept = read(documents::read(app, Subject::Database(id), DOCUMENT).as_ref());
        left.letters.extend(kept.letters);
        let promises = kept.promises.into_iter();
        left.promises
            .extend(promises.map(|(operation, promise)| (id, operation, promise)));
    }
    let hosts = control.hosts();
    let others = hosts.iter().map(|host| Subject::Host(host.id));
    for subject in others.chain([Subject::Installation]) {
        left.letters
            .extend(read(documents::read(app, subject, DOCUMENT).as_ref()).letters);
    }
    left
}

fn read(body: Option<&Value>) -> Kept {
    body.and_then(|body| Kept::deserialize(body).ok()).unwrap_or_default()
}

async fn change(app: &App, subject: Subject, change: impl FnOnce(&mut Kept) + Send) {
    let merge = move |body: Option<&Value>| {
        let mut kept = read(body);
        change(&mut kept);
        serde_json::to_value(&kept).map_err(ControlError::internal)
    };
    let caller = own_caller(app);
    let version = documents::VERSION;
    let changed = app
        .control()
        .update_document(&caller, subject, DOCUMENT, version, merge, None);
    match changed.await {
        // A database that goes takes what is kept along.
        Ok(_) | Err(ControlError::NotFound { .. }) => {}
        Err(error) => tracing::warn!(%error, ?subject, "mail that waits cannot be recorded"),
    }
}
