//! Shards: list, get, fail over, migrate.

use std::collections::BTreeSet;

use pilothouse_api::{Response, StatusCode};
use pilothouse_control::{ControlError, DatabaseView, Noun};
use pilothouse_model::{DatabaseId, ServerId, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::ids;
use crate::translate::shard::{self, Uids};
use crate::wire::shard::Shard;

pub(crate) async fn list_of_bdb(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    Ok(ok(&shown(&app, &call, vec![view]).await))
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let all = app.control().databases(&call.caller);
    Ok(ok(&shown(&app, &call, all).await))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let (view, server) = find(&app, &call, call.uid("uid")?)?;
    let uid = app.uid(Subject::Server(server)).to_string();
    let found = shown(&app, &call, vec![view])
        .await
        .into_iter()
        .find(|shard| shard.uid == uid);
    Ok(ok(&found.ok_or_else(|| unknown(&uid))?))
}

fn unknown(uid: &str) -> Failure {
    Failure::not_found("shard_not_exist", format!("there is no shard {uid}"))
}

/// The shards of databases, masters first in each. Whoever wants to know keys of `INFO` wants to know them as they are now.
async fn shown(app: &App, call: &Call, mut views: Vec<DatabaseView>) -> Vec<Shard> {
    let keys: Vec<&str> = call
        .request
        .query
        .all("extra_info_keys")
        .flat_map(|keys| keys.split(','))
        .collect();
    if !keys.is_empty() {
        views = app.control().look_at_servers(views).await;
    }
    views.iter().flat_map(|view| of_database(app, view, &keys)).collect()
}

/// The shards of a database, masters first.
fn of_database(app: &App, view: &DatabaseView, keys: &[&str]) -> Vec<Shard> {
    let bdb = app.uid(Subject::Database(view.database.id));
    let shards = view.database.layout.shards.iter();
    let of = |shard: &pilothouse_model::Shard, server: &pilothouse_model::Server| {
        let uids = Uids {
            shard: app.uid(Subject::Server(server.id)),
            bdb,
            node: app.uid(Subject::Host(server.host)),
        };
        shard::show(view, shard, server, uids, keys)
    };
    let mut shown: Vec<Shard> = shards
        .flat_map(|shard| shard.servers.iter().map(move |server| of(shard, server)))
        .collect();
    shown.sort_by_key(|shard| shard.role != "master");
    shown
}

/// The database and server of a shard's integer.
pub(crate) fn find(app: &App, call: &Call, uid: u64) -> Result<(DatabaseView, ServerId), Failure> {
    let missing = || unknown(&uid.to_string());
    let server = ids::server(app.control(), uid).ok_or_else(missing)?;
    let view = app.control().database_of_server(&call.caller, server);
    Ok((view.map_err(|_| missing())?, server))
}

pub(crate) async fn fail_over(app: App, call: Call) -> Answer {
    let (view, server) = find(&app, &call, call.uid("uid")?)?;
    fail_over_database(&app, &call, &view, &[server]).await
}

pub(crate) async fn fail_over_many(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let uids = shard_uids(body.get("shard_uids"))?;
    if uids.is_empty() {
        return Err(Failure::not_found("shard_uids_required", "shard_uids is required"));
    }
    let (view, servers) = of_one_database(&app, &call, &uids)?;
    fail_over_database(&app, &call, &view, &servers).await
}

/// Fails the masters among `servers` over; a database has one today.
async fn fail_over_database(app: &App, call: &Call, view: &DatabaseView, servers: &[ServerId]) -> Answer {
    let primary = |server: &ServerId| {
        view.database
            .layout
            .shard_of(*server)
            .is_some_and(|shard| shard.lineage.primary == Some(*server))
    };
    if !servers.iter().all(primary) {
        return Err(Failure::bad_request(
            "shard_is_slave",
            "only a master can be failed over",
        ));
    }
    let mut options = bdbs::options(call);
    options.dry_run |= call.body()?.get("dry_run").and_then(Value::as_bool).unwrap_or(false);
    let accepted = app
        .control()
        .fail_over(&call.caller, view.database.id, None, options)
        .await
        .map_err(refused)?;
    Ok(triggered(
        accepted.operation.map(|operation| operation.id.to_string()),
        "Failover was triggered",
    ))
}

fn refused(error: ControlError) -> Failure {
    let no_replica = matches!(error, ControlError::Conflict(_));
    let busy = matches!(error, ControlError::Busy { .. });
    let failure = Failure::from(error);
    if no_replica {
        failure.with_status(StatusCode::NOT_ACCEPTABLE, "no_replica_in_sync")
    } else if busy {
        failure.with_code("db_busy")
    } else {
        failure
    }
}

fn triggered(action_uid: Option<String>, description: &str) -> Response {
    let mut answer = json!({"description": description});
    if let Some(uid) = action_uid {
        answer["action_uid"] = uid.into();
    }
    ok(&answer)
}

/// The integers of `shard_uids`, which are texts on the wire.
fn shard_uids(list: Option<&Value>) -> Result<Vec<u64>, Failure> {
    let malformed = || Failure::invalid_schema("shard_uids must be a list of uids");
    let list = match list {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(malformed)?,
    };
    let number = |uid: &Value| uid.as_u64().or_else(|| uid.as_str()?.parse().ok());
    list.iter().map(|uid| number(uid).ok_or_else(malformed)).collect()
}

fn of_one_database(app: &App, call: &Call, uids: &[u64]) -> Result<(DatabaseView, Vec<ServerId>), Failure> {
    let found = uids
        .iter()
        .map(|uid| find(app, call, *uid))
        .collect::<Result<Vec<_>, _>>()?;
    let databases: BTreeSet<DatabaseId> = found.iter().map(|(view, _)| view.database.id).collect();
    let servers = found.iter().map(|(_, server)| *server).collect();
    match found.into_iter().next() {
        Some((view, _)) if databases.len() == 1 => Ok((view, servers)),
        _ => Err(Failure::bad_request(
            "failover_shards_different_bdb",
            "the shards must be of one bdb",
        )),
    }
}

pub(crate) async fn migrate(app: App, call: Call) -> Answer {
    let (view, server) = find(&app, &call, call.uid("uid")?)?;
    migrate_servers(&app, &call, &[(view, server)])
}

pub(crate) async fn migrate_many(app: App, call: Call) -> Answer {
    let uids = shard_uids(call.body()?.get("shard_uids"))?;
    if uids.is_empty() {
        return Err(Failure::bad_request("missing_field", "shard_uids is required"));
    }
    let found = uids
        .iter()
        .map(|uid| find(&app, &call, *uid))
        .collect::<Result<Vec<_>, _>>()?;
    migrate_servers(&app, &call, &found)
}

/// A shard that is where it is wanted stays there. There is no other place to go to yet.
fn migrate_servers(app: &App, call: &Call, servers: &[(DatabaseView, ServerId)]) -> Answer {
    let body = call.body()?;
    let target = body
        .get("target_node_uid")
        .or(body.get("target_node"))
        .filter(|value| !value.is_null());
    let target = target.ok_or_else(|| Failure::bad_request("missing_field", "target_node_uid is required"))?;
    let target = target.as_u64().or_else(|| target.as_str()?.parse().ok());
    let target = target.ok_or_else(|| Failure::invalid_schema("target_node_uid must be a whole number"))?;
    let host = ids::host(app.control(), target).ok_or_else(|| Failure::from(ControlError::not_found(Noun::Host)))?;
    let there = |(view, server): &(DatabaseView, ServerId)| {
        view.database
            .layout
            .server(*server)
            .is_some_and(|server| server.host == host)
    };
    if !servers.iter().all(there) {
        return Err(Failure::not_acceptable(
            "insufficient_resources",
            "shards cannot be moved to that node",
        ));
    }
    let last = servers.first().and_then(|(view, _)| {
        app.control()
            .operations_of(&call.caller, view.database.id)
            .first()
            .map(|operation| operation.id.to_string())
    });
    Ok(triggered(last, "Migrate was triggered"))
}
