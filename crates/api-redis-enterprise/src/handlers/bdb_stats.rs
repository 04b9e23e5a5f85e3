//! Statistics of databases.

use pilothouse_api::JsonObject;
use pilothouse_control::{DatabaseView, StatSubject};
use pilothouse_model::{Lifecycle, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::translate::stats::{self, Kind, Wanted};

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let all = app.control().databases(&call.caller);
    let shown: Vec<Value> = all
        .iter()
        .filter(|view| measured(view).is_ok())
        .map(|view| shown(&app, view, &wanted))
        .collect();
    Ok(ok(&shown))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let view = bdbs::find(&app, &call)?;
    measured(&view)?;
    Ok(ok(&shown(&app, &view, &wanted)))
}

pub(crate) async fn last_all(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let all = app.control().databases(&call.caller);
    let entries = all
        .iter()
        .filter(|view| measured(view).is_ok())
        .map(|view| newest(&app, view, &wanted));
    Ok(ok(&entries.collect::<JsonObject>()))
}

pub(crate) async fn last(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let view = bdbs::find(&app, &call)?;
    measured(&view)?;
    Ok(ok(&JsonObject::from_iter([newest(&app, &view, &wanted)])))
}

/// Whether there is something to measure.
fn measured(view: &DatabaseView) -> Result<(), Failure> {
    match view.lifecycle {
        Lifecycle::Recovery => Err(Failure::unavailable(
            "bdb_unavailable",
            "the database waits for recovery",
        )),
        Lifecycle::CreationFailed | Lifecycle::Deleting => {
            Err(Failure::not_acceptable("bdb_not_active", "the database is not active"))
        }
        _ => Ok(()),
    }
}

fn uid(app: &App, view: &DatabaseView) -> String {
    app.uid(Subject::Database(view.database.id)).to_string()
}

fn shown(app: &App, view: &DatabaseView, wanted: &Wanted) -> Value {
    let subject = StatSubject::Database(view.database.id);
    let intervals = stats::intervals(
        app.control().statistics(),
        subject,
        Kind::Bdb,
        wanted,
        app.control().now(),
    );
    json!({"uid": uid(app, view), "intervals": intervals})
}

fn newest(app: &App, view: &DatabaseView, wanted: &Wanted) -> (String, Value) {
    let subject = StatSubject::Database(view.database.id);
    let sample = stats::newest(
        app.control().statistics(),
        subject,
        Kind::Bdb,
        wanted,
        app.control().now(),
    );
    (uid(app, view), Value::Object(sample))
}

// Statistics of replication between clusters, of which there is none.

pub(crate) async fn peers(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(Failure::not_acceptable("not_crdb", "the database is not Active-Active"))
}

pub(crate) async fn sync_sources(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Ok(ok(&json!({"sync_source_stats": []})))
}

pub(crate) async fn sync_source(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(Failure::not_found("not_found", "there is no such source"))
}

pub(crate) async fn syncer_state(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(Failure::not_found("not_found", "the database has no syncer"))
}
