//! Statistics of shards.

use pilothouse_api::JsonObject;
use pilothouse_control::{DatabaseView, StatSubject};
use pilothouse_model::{Server, ServerId, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::shards;
use crate::translate::shard;
use crate::translate::stats::{self, Kind, Wanted};

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let mut all = Vec::new();
    for view in databases(&app, &call)? {
        all.extend(
            view.database
                .layout
                .servers()
                .filter_map(|server| shown(&app, &view, server, &wanted)),
        );
    }
    Ok(ok(&all))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let (view, server) = active(&app, &call)?;
    let found = view
        .database
        .layout
        .server(server)
        .and_then(|server| shown(&app, &view, server, &wanted));
    Ok(ok(&found))
}

pub(crate) async fn last_all(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let mut all = JsonObject::new();
    for view in databases(&app, &call)? {
        all.extend(
            view.database
                .layout
                .servers()
                .map(|server| newest(&app, server.id, &wanted)),
        );
    }
    Ok(ok(&all))
}

pub(crate) async fn last(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let (_, server) = active(&app, &call)?;
    Ok(ok(&JsonObject::from_iter([newest(&app, server, &wanted)])))
}

/// The databases that are asked for: all, or `parent_uid`.
fn databases(app: &App, call: &Call) -> Result<Vec<DatabaseView>, Failure> {
    let mut all = app.control().databases(&call.caller);
    if let Some(parent) = call.query("parent_uid").filter(|uid| !uid.is_empty()) {
        let uid = parent
            .parse::<u64>()
            .map_err(|_| Failure::bad_request("bad_request", "parent_uid must be a whole number"))?;
        all.retain(|view| app.uid(Subject::Database(view.database.id)) == uid);
    }
    Ok(all)
}

/// The shard that the path names; 406 when it does not run.
fn active(app: &App, call: &Call) -> Result<(DatabaseView, ServerId), Failure> {
    let (view, server) = shards::find(app, call, call.uid("uid")?)?;
    if shard::is_active(view.observation.servers.get(&server)) {
        Ok((view, server))
    } else {
        Err(Failure::not_acceptable("shard_not_active", "the shard is not active"))
    }
}

fn shown(app: &App, view: &DatabaseView, server: &Server, wanted: &Wanted) -> Option<Value> {
    let key_space = view.database.layout.shard_of(server.id)?;
    let primary = key_space.lineage.primary == Some(server.id);
    let subject = StatSubject::Server(server.id);
    let intervals = stats::intervals(
        app.control().statistics(),
        subject,
        Kind::Shard,
        wanted,
        app.control().now(),
    );
    let active = shard::is_active(view.observation.servers.get(&server.id));
    Some(json!({
        "uid": app.uid(Subject::Server(server.id)).to_string(),
        "status": if active { "active" } else { "inactive" },
        "node_uid": app.uid(Subject::Host(server.host)).to_string(),
        "role": if primary { "master" } else { "slave" },
        "assigned_slots": shard::slots(key_space),
        "intervals": intervals,
    }))
}

fn newest(app: &App, server: ServerId, wanted: &Wanted) -> (String, Value) {
    let subject = StatSubject::Server(server);
    let sample = stats::newest(
        app.control().statistics(),
        subject,
        Kind::Shard,
        wanted,
        app.control().now(),
    );
    (app.uid(Subject::Server(server)).to_string(), Value::Object(sample))
}
