//! Actions on a database: recovery, placement, traffic, upgrade, commands; and whether it can be used.

use pilothouse_api::{Response, StatusCode, bytes_response};
use pilothouse_control::{DataFile, DatabaseView, RecoverDatabase, UpgradeDatabase};
use pilothouse_model::{DatabaseSpec, EngineVersion, Lifecycle, Persistence, ServerId, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::translate::{bdb, command as commands, placement};

/// A file that a database would be recovered from.
#[derive(Serialize)]
struct RecoveryFile {
    filename: String,
    last_modified: f64,
    node_uid: String,
    shard_role: &'static str,
    shard_slots: &'static str,
    shard_uid: String,
    size: u64,
}

pub(crate) async fn recovery_plan(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    if view.lifecycle != Lifecycle::Recovery {
        return Ok(ok(&json!({"data_files": [], "status": "not_in_recovery"})));
    }
    let found = app.control().data_files(&call.caller, view.database.id).await?;
    let files: Vec<_> = found
        .into_iter()
        .map(|file| {
            let shard = view.database.layout.shard_of(file.server);
            let primary = shard.is_some_and(|shard| shard.lineage.primary == Some(file.server));
            let host = view
                .database
                .layout
                .server(file.server)
                .map(|server| app.uid(Subject::Host(server.host)));
            RecoveryFile {
                filename: file.name,
                last_modified: file.modified.as_millis() as f64 / 1000.0,
                node_uid: host.unwrap_or(0).to_string(),
                shard_role: if primary { "master" } else { "slave" },
                shard_slots: "0-16383",
                shard_uid: app.uid(Subject::Server(file.server)).to_string(),
                size: file.bytes,
            }
        })
        .collect();
    let status = if files.is_empty() { "missing_files" } else { "ready" };
    Ok(ok(&json!({"data_files": files, "status": status})))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RecoverBody {
    /// Files of the plan; everything that is there when empty.
    data_files: Option<Vec<ChosenFile>>,
    /// Files that are not there are passed over.
    ignore_errors: Option<bool>,
    recover_without_data: Option<bool>,
}

/// A file of the plan, as a client sends it back.
#[derive(Deserialize)]
struct ChosenFile {
    filename: String,
    shard_uid: Option<Value>,
}

impl ChosenFile {
    fn names(&self, app: &App, file: &DataFile) -> bool {
        let uid = app.uid(Subject::Server(file.server));
        let same = |wanted: &Value| wanted.as_u64() == Some(uid) || wanted.as_str() == Some(&uid.to_string());
        self.filename == file.name && self.shard_uid.as_ref().is_none_or(same)
    }
}

/// The server that the chosen files are of: one copy of the data becomes the database, so the first file decides.
async fn chosen_server(
    app: &App,
    call: &Call,
    view: &DatabaseView,
    body: &RecoverBody,
) -> Result<Option<ServerId>, Failure> {
    let chosen = body.data_files.as_deref().unwrap_or_default();
    if chosen.is_empty() {
        return Ok(None);
    }
    let there = app.control().data_files(&call.caller, view.database.id).await?;
    let mut server = None;
    for wanted in chosen {
        match there.iter().find(|file| wanted.names(app, file)) {
            Some(file) => server = server.or(Some(file.server)),
            None if body.ignore_errors == Some(true) => {}
            None => {
                let why = format!(
                    "the data file {} is not there; ignore_errors passes it over",
                    wanted.filename
                );
                return Err(Failure::conflict("missing_files", why));
            }
        }
    }
    Ok(server)
}

pub(crate) async fn recover(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let body: RecoverBody = call.body_as()?;
    let command = RecoverDatabase {
        from: chosen_server(&app, &call, &view, &body).await?,
        without_data: body.recover_without_data.unwrap_or(false),
    };
    let accepted = app
        .control()
        .recover_database(&call.caller, view.database.id, command, bdbs::options(&call))
        .await?;
    Ok(bdbs::action_uid(&app, &call, &accepted))
}

pub(crate) async fn optimize_placement(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let spec = &view.database.spec;
    let number = |name: &str, present: u64| match call.query(name) {
        None | Some("") => Ok(present),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Failure::bad_request("bad_request", format!("{name} must be a whole number"))),
    };
    let shards = number("shards_count", u64::from(spec.shards))?;
    let memory = number("memory_size", spec.memory_bytes)?;
    // Without flash there is no part of the memory that would have to be in RAM.
    number("bigstore_ram_size", 0)?;
    if !matches!(call.query("shards_placement"), None | Some("" | "dense" | "sparse")) {
        return Err(Failure::bad_request(
            "bad_request",
            "shards_placement must be dense or sparse",
        ));
    }
    let shards = u32::try_from(shards).ok().filter(|count| (1..=512).contains(count));
    let shards = shards.ok_or_else(|| Failure::bad_request("bad_request", "shards_count must be from 1 to 512"))?;
    let replication = match call.query("replication") {
        None | Some("") => spec.replicas > 0,
        Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err(Failure::bad_request("bad_request", "replication must be true or false")),
    };
    let avoided: Vec<&str> = call
        .query("avoid_nodes")
        .map(|list| list.split(',').collect())
        .unwrap_or_default();
    let mut nodes = node_uids(&app);
    nodes.retain(|uid| !avoided.contains(&uid.to_string().as_str()));
    let too_large =
        !app.settings().policy_flag("shards_overbooking") && memory > app.control().host_facts().memory_bytes;
    let alone = replication && nodes.len() < 2 && !app.control().settings().single_host_replicas;
    if nodes.is_empty() || too_large || alone {
        return Err(Failure::not_acceptable(
            "insufficient_resources",
            "the nodes have no room for such a database",
        ));
    }
    Ok(ok(&placement::blueprint(shards, replication, &nodes)))
}

fn node_uids(app: &App) -> Vec<u64> {
    app.control()
        .hosts()
        .iter()
        .map(|host| app.uid(Subject::Host(host.id)))
        .collect()
}

fn present_blueprint(app: &App, view: &DatabaseView) -> Response {
    ok(&placement::blueprint(
        u32::from(view.database.spec.shards),
        view.database.spec.replicas > 0,
        &node_uids(app),
    ))
}

/// There is one node, so shards always stand as well as they can: nothing has to move.
pub(crate) async fn rebalance(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    if call.dry_run() {
        return Ok(present_blueprint(&app, &view));
    }
    let spec = view.database.spec.clone();
    let accepted = bdbs::change_spec(&app, &call, &view, spec).await?;
    Ok(bdbs::action_uid(&app, &call, &accepted))
}

/// A change of size or replication, and then as [`rebalance`].
pub(crate) async fn revamp(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let mut body = call.body()?;
    body.retain(|key, _| {
        matches!(
            key.as_str(),
            "memory_size" | "replication" | "shards_count" | "shards_placement" | "avoid_nodes"
        )
    });
    let (accepted, _) = bdbs::update_from(&app, &call, &view, &body).await?;
    if call.dry_run() {
        return Ok(present_blueprint(&app, &accepted.database));
    }
    Ok(bdbs::action_uid(&app, &call, &accepted))
}

pub(crate) async fn stop_traffic(app: App, call: Call) -> Answer {
    set_traffic(&app, &call, true).await
}

pub(crate) async fn resume_traffic(app: App, call: Call) -> Answer {
    set_traffic(&app, &call, false).await
}

async fn set_traffic(app: &App, call: &Call, stopped: bool) -> Answer {
    let view = bdbs::find(app, call)?;
    let mut spec = view.database.spec.clone();
    spec.network.traffic_stopped = stopped;
    let accepted = bdbs::change_spec(app, call, &view, spec).await?;
    Ok(bdbs::action_uid(app, call, &accepted))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UpgradeBody {
    redis_version: Option<String>,
    keep_redis_version: Option<bool>,
    force_restart: Option<bool>,
    may_discard_data: Option<bool>,
    force_discard: Option<bool>,
}

pub(crate) async fn upgrade(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let body: UpgradeBody = call.body_as()?;
    let spec = &view.database.spec;
    let version = wanted_version(&app, spec, &body)?;
    let force_restart = body.force_restart.unwrap_or(false);
    let may_discard_data = body.may_discard_data.unwrap_or(false) || body.force_discard.unwrap_or(false);
    let restarts = force_restart || version != spec.version;
    if restarts && !may_discard_data && spec.replicas == 0 && spec.persistence == Persistence::Disabled {
        let why = "the database is neither replicated nor persisted: its data would be lost, see may_discard_data";
        return Err(Failure::not_acceptable("data_loss_risk", why));
    }
    let command = UpgradeDatabase {
        version: Some(version),
        force_restart,
        may_discard_data,
    };
    let accepted = app
        .control()
        .upgrade_database(&call.caller, view.database.id, command, bdbs::options(&call))
        .await?;
    let document = bdbs::document_of(&app, view.database.id);
    Ok(bdbs::Presenter::new(&app, &call.principal).accepted(&accepted, &document))
}

/// The version that was asked for; without one the newest that is installed, never an older one.
fn wanted_version(app: &App, spec: &DatabaseSpec, body: &UpgradeBody) -> Result<EngineVersion, Failure> {
    if body.keep_redis_version == Some(true) {
        return Ok(spec.version);
    }
    let engines = app.control().engines();
    let series = body.redis_version.as_deref();
    match bdb::installed_of_series(&engines, spec.engine, series) {
        Ok(newest) if series.is_some() => Ok(newest.version),
        Ok(newest) => Ok(newest.version.max(spec.version)),
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn command(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let words = commands::words(&call.body()?)?;
    let reply = app.control().execute(&call.caller, view.database.id, words).await?;
    Ok(ok(&json!({"response": commands::response(reply)?})))
}

/// Quirk: the answer has no body and says that it is HTML; collectors look at the status only.
pub(crate) async fn availability(app: App, call: Call) -> Answer {
    available(&app, &call, "bdb_unavailable")
}

pub(crate) async fn endpoint_availability(app: App, call: Call) -> Answer {
    available(&app, &call, "bdb_endpoint_unavailable")
}

fn available(app: &App, call: &Call, code: &'static str) -> Answer {
    let view = bdbs::find(app, call).map_err(|failure| failure.with_code("db_not_found"))?;
    let serves = matches!(
        view.lifecycle,
        Lifecycle::Active | Lifecycle::Changing | Lifecycle::Importing
    );
    if !serves || view.database.spec.network.traffic_stopped {
        return Err(Failure::unavailable(code, "the database does not serve clients now"));
    }
    if call.query("extend_check") == Some("lag") && lags(&view) {
        return Err(Failure::unavailable(
            "bdb_unavailable_shard_unreachable",
            "a replica is not in sync",
        ));
    }
    Ok(bytes_response(StatusCode::OK, "text/html", ""))
}

/// Whether a replica that there should be does not follow.
fn lags(view: &DatabaseView) -> bool {
    let follows = |server: &pilothouse_model::Server| {
        let facts = view
            .observation
            .servers
            .get(&server.id)
            .and_then(|seen| seen.facts.as_ref());
        facts.is_some_and(|facts| facts.replication.link_up == Some(true) && !facts.replication.syncing)
    };
    view.database
        .layout
        .shards
        .iter()
        .any(|shard| !shard.replicas().all(follows))
}
