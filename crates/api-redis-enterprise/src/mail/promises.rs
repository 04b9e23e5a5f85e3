//! Who is told how an export or import ends, because the request said so.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use pilothouse_model::{DatabaseId, OperationId, Subject};
use tokio_util::sync::CancellationToken;

use super::kept::{self, Promise, Promised};
use super::letter::{self, Scene};
use crate::app::App;
use crate::auth::{Principal, own_caller};

/// Time between two looks at what was promised.
const PERIOD: Duration = Duration::from_secs(1);

/// The promises that stand.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<Vec<Promised>>);

impl Promises {
    fn add(&self, promised: impl IntoIterator<Item = Promised>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(promised);
    }

    /// Takes those out for which `is_due` says so.
    fn take(&self, is_due: impl Fn(OperationId) -> bool) -> Vec<Promised> {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing
            .extract_if(.., |(_, operation, _)| is_due(*operation))
            .collect()
    }
}

/// Promises the caller a letter about the end of an operation. Somebody without an address gets none.
pub(crate) async fn promise(app: &App, reader: &Principal, action: &str, database: DatabaseId, operation: OperationId) {
    let Some(to) = address(reader) else {
        return;
    };
    let action = action.to_owned();
    let promised = (database, operation, Promise { action, to });
    kept::keep_promise(app, promised.clone()).await;
    app.promises().add([promised]);
}

/// The account of the configuration has no user, but may be called by an address.
fn address(reader: &Principal) -> Option<Address> {
    let text = reader.user.as_ref().map_or(&reader.login, |user| &user.email);
    text.parse().ok()
}

/// Writes the letters that are due, until `stop`; `left` was promised by an earlier run.
pub(super) async fn run(app: &App, left: Vec<Promised>, stop: &CancellationToken) {
    app.promises().add(left);
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let caller = own_caller(app);
        let operation = |id| app.control().operation(&caller, id);
        // An operation that is known no longer ended long ago.
        let due = app
            .promises()
            .take(|id| operation(id).is_none_or(|operation| operation.is_final()));
        for (database, id, Promise { action, to }) in due {
            let subject = Subject::Database(database);
            let letter = operation(id).and_then(|operation| {
                let scene = Scene {
                    cluster: app.cluster_name(),
                    object: letter::object(app, subject),
                    at: operation.ended_at.unwrap_or(operation.changed_at),
                };
                let result = operation.result.as_ref()?;
                Some(letter::about_action(&action, subject, result, &scene, to))
            });
            kept::fulfil(app, database, id, letter.as_ref()).await;
            super::post(app, letter.into_iter().collect()).await;
        }
    }
}
