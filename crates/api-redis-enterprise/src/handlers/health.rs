//! Health reports: the newest form, which tells of a cluster and of a database in one answer each.

use pilothouse_control::DatabaseView;
use pilothouse_model::{Lifecycle, Liveness, Persistence, ServerId, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::nodes;
use crate::ids;

pub(crate) async fn cluster(app: App, call: Call) -> Answer {
    let databases = app.control().databases(&call.caller);
    let worst = if databases.iter().any(|view| !serves(view)) {
        "warning"
    } else {
        "active"
    };
    let nodes: Vec<Value> = app
        .control()
        .hosts()
        .iter()
        .map(|host| {
            let uid = app.uid(Subject::Host(host.id)).to_string();
            json!({"id": uid, "address": nodes::address(&app), "status": "active", "detailed_status": "ok"})
        })
        .collect();
    Ok(ok(&json!({
        "id": app.cluster_name(),
        "name": app.cluster_name(),
        "fqdn": app.cluster_name(),
        "status": worst,
        "detailed_status": if worst == "active" { "ok" } else { "databases_unavailable" },
        "nodes": nodes,
        "active_alerts": active_alerts(&app, Subject::Installation, "cluster_"),
        "certificates": {"status": "active"},
        "license": {"status": "active", "expired": false},
    })))
}

pub(crate) async fn database(app: App, call: Call) -> Answer {
    let uid = call.uid("uid")?;
    let not_exist = || Failure::not_found("db_not_exist", "there is no such database");
    let id = ids::database(app.control(), uid).ok_or_else(not_exist)?;
    let view = app.control().database(&call.caller, id)?;
    let report = report(&app, uid, &view);
    if serves(&view) {
        return Ok(ok(&report));
    }
    Err(Failure::unavailable("bdb_unavailable", "the database does not serve").with_details(report))
}

fn serves(view: &DatabaseView) -> bool {
    matches!(
        view.lifecycle,
        Lifecycle::Active | Lifecycle::Changing | Lifecycle::Importing
    )
}

fn report(app: &App, uid: u64, view: &DatabaseView) -> Value {
    let database = &view.database;
    let up = serves(view);
    let answers = |id: ServerId| {
        view.observation
            .servers
            .get(&id)
            .map_or(Liveness::Unknown, |seen| seen.liveness)
    };
    let shards: Vec<Value> = database
        .layout
        .shards
        .iter()
        .flat_map(|shard| shard.servers.iter().map(move |server| (shard, server)))
        .map(|(shard, server)| {
            let liveness = answers(server.id);
            json!({
                "id": app.uid(Subject::Server(server.id)).to_string(),
                "role": if shard.lineage.primary == Some(server.id) { "leader" } else { "follower" },
                "status": if liveness == Liveness::Ok { "active" } else { "down" },
                "detailed_status": liveness,
            })
        })
        .collect();
    let replicas_answer =
        database.layout.shards.iter().all(|shard| {
            shard.replicas().count() > 0 && shard.replicas().all(|server| answers(server.id) == Liveness::Ok)
        });
    let availability = if up { "up" } else { "down" };
    let errors: &[&str] = if up { &[] } else { &["shard_unreachable"] };
    json!({
        "id": uid.to_string(),
        "name": database.name.as_str(),
        "status": if up { "active" } else { "down" },
        "detailed_status": view.lifecycle,
        "availability": availability,
        "availability_errors": errors,
        "endpoints": [{"name": format!("{uid}:1"), "availability": availability}],
        "high_availability": {"status": match (database.spec.replicas, replicas_answer) {
            (0, _) => "disabled",
            (_, true) => "up",
            (_, false) => "down",
        }},
        "persistence": match database.spec.persistence {
            Persistence::Disabled => "disabled",
            Persistence::AppendOnly { .. } => "aof",
            Persistence::Snapshot { .. } => "rdb",
        },
        "active_alerts": active_alerts(app, Subject::Database(database.id), "bdb_"),
        "shards": shards,
    })
}

/// Names of the alerts that hold, wanted or not.
fn active_alerts(app: &App, subject: Subject, prefix: &str) -> Vec<String> {
    app.board()
        .holding(subject)
        .into_iter()
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}
