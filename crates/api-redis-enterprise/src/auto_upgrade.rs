//! `auto_upgrade`: when a newer patch of a database's version is installed, the database is brought to it by the ordinary upgrade.
//!
//! One database at a time, and the next only when the one before serves again: a patch that does not work stops with the first. A
//! database that a restart would empty is left alone.

use std::time::Duration;

use pilothouse_control::{DatabaseView, RequestOptions, UpgradeDatabase};
use pilothouse_model::{DatabaseId, EngineVersion, InstalledEngine, Lifecycle, Persistence};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::own_caller;
use crate::handlers::bdbs;

/// Time between two looks; the first is at the start, right after the installed engines were found.
const PERIOD: Duration = Duration::from_secs(5);

/// Upgrades until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    let mut last = None;
    loop {
        if app.is_member() {
            last = look(app, last).await;
        }
        if stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

/// Begins at most one upgrade. `last` is the database that was upgraded before; gives the one of now.
async fn look(app: &App, last: Option<DatabaseId>) -> Option<DatabaseId> {
    let views = app.control().databases(&own_caller(app));
    let serves = |view: &DatabaseView| view.operation.is_none() && view.lifecycle == Lifecycle::Active;
    if let Some(before) = views.iter().find(|view| Some(view.database.id) == last)
        && !serves(before)
    {
        return last;
    }
    let engines = app.control().engines();
    for view in views.iter().filter(|view| serves(view)) {
        let database = &view.database;
        let survives = database.spec.replicas > 0 || database.spec.persistence != Persistence::Disabled;
        let Some(newer) = newer_patch(&engines, view).filter(|_| survives && is_wanted(app, database.id)) else {
            continue;
        };
        let command = UpgradeDatabase {
            version: Some(newer),
            force_restart: false,
            may_discard_data: false,
        };
        let begun = app
            .control()
            .upgrade_database(&own_caller(app), database.id, command, RequestOptions::PROCESSED)
            .await;
        match begun {
            Ok(_) => return Some(database.id),
            // Somebody changes it just now; the next look finds it again.
            Err(error) => tracing::debug!(database = %database.id, %error, "an upgrade waits"),
        }
    }
    None
}

fn is_wanted(app: &App, database: DatabaseId) -> bool {
    let document = bdbs::document_of(app, database);
    document.get("auto_upgrade").and_then(Value::as_bool) == Some(true)
}

/// The newest installed patch of the database's version, if it is newer.
fn newer_patch(engines: &[InstalledEngine], view: &DatabaseView) -> Option<EngineVersion> {
    let spec = &view.database.spec;
    let patches = engines
        .iter()
        .filter(|engine| engine.kind == spec.engine && engine.version.series() == spec.version.series());
    let newest = patches.map(|engine| engine.version).max()?;
    (newest > spec.version).then_some(newest)
}
