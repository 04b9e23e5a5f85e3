//! Nodes: the machines.

use std::net::IpAddr;
use std::sync::Arc;

use pilothouse_api::JsonObject;
use pilothouse_control::{Caller, ControlError, HostChange};
use pilothouse_model::{Host, HostId, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::own_caller;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::translate::node::{addresses, os_family, storage_size, supported_versions, uptime_seconds, version_sha};
use crate::wire::node::{EFFECTIVE, NodeObject, NodeStatus, SETTINGS};
use crate::{documents, fields, ids};

/// Document of a node: what is only stored and shown.
pub(crate) const DOCUMENT: &str = "node";
/// The setting with the addresses of a node for clients outside.
const EXTERNAL: &str = "external_addr";

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let nodes: Vec<NodeObject> = app.control().hosts().iter().map(|host| describe(&app, host)).collect();
    Ok(ok(&nodes))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    Ok(ok(&describe(&app, &*find(&app, call.uid("uid")?)?)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let host = find(&app, call.uid("uid")?)?;
    let wish = checked(&call.body()?)?;
    let node = describe(&app, &host);
    if wish.text("addr").is_some_and(|address| address != node.addr) {
        return Err(Failure::not_acceptable(
            "node_not_offline",
            "the address of a node can be changed only while it is down",
        ));
    }
    if wish.accepts_servers() == Some(false) && host.accepts_servers && node.shard_count > 0 {
        return Err(Failure::not_acceptable("node_already_populated", "the node has shards"));
    }
    let moves = |rack: &str| rack != host.rack && !host.rack.is_empty() && node.shard_count > 0;
    if wish.text("rack_id").is_some_and(moves) {
        return Err(Failure::not_acceptable(
            "node_already_has_rack_id",
            "the rack id of a node with shards is fixed",
        ));
    }
    let host = write(&app, &call.caller, host.id, wish).await?;
    Ok(ok(&describe(&app, &host)))
}

/// A change of a node whose types and values were checked.
pub(crate) struct Wish {
    /// What the core acts on.
    effective: JsonObject,
    /// What this API keeps.
    settings: JsonObject,
}

impl Wish {
    fn text(&self, name: &str) -> Option<&str> {
        self.effective.get(name).and_then(Value::as_str)
    }

    fn accepts_servers(&self) -> Option<bool> {
        self.effective.get("accept_servers").and_then(Value::as_bool)
    }
}

/// Checks a change of a node as far as that needs no node.
pub(crate) fn checked(body: &JsonObject) -> Result<Wish, Failure> {
    let settings = fields::checked(SETTINGS, body)?;
    let effective = fields::checked(EFFECTIVE, body)?;
    if let Some(wrong) = texts(settings.get(EXTERNAL)).find(|text| text.parse::<IpAddr>().is_err()) {
        return Err(Failure::invalid_schema(format!(
            "external_addr holds {wrong:?}, which is no IP address"
        )));
    }
    if settings.get("recovery_path").is_some_and(|path| path != "") {
        return Err(Failure::not_acceptable(
            "invalid_configuration",
            "recovery_path: a database is recovered from the files that its servers left where they ran",
        ));
    }
    Ok(Wish { effective, settings })
}

/// Brings the first node to what the bootstrap asks of it.
pub(crate) async fn set_up(app: &App, body: &JsonObject) -> Result<(), ControlError> {
    let wish = checked(body).map_err(|failure| ControlError::internal(failure.description))?;
    match app.control().hosts().first() {
        Some(host) => write(app, &own_caller(app), host.id, wish).await.map(drop),
        None => Ok(()),
    }
}

async fn write(app: &App, caller: &Caller, id: HostId, wish: Wish) -> Result<Arc<Host>, ControlError> {
    let change = HostChange {
        accepts_servers: wish.accepts_servers(),
        rack: wish.text("rack_id").map(str::to_owned),
    };
    let host = app.control().update_host(caller, id, change).await?;
    if !wish.settings.is_empty() {
        let subject = Subject::Host(id);
        let event = documents::event(caller, "host-updated", subject, "node settings changed");
        documents::change(app, caller, subject, DOCUMENT, wish.settings, Some(event)).await?;
    }
    Ok(host)
}

pub(crate) async fn status_all(app: App, _call: Call) -> Answer {
    let hosts = app.control().hosts();
    let statuses = hosts.iter().map(|host| {
        (
            app.uid(Subject::Host(host.id)).to_string(),
            json!(node_status(&app, host)),
        )
    });
    Ok(ok(&statuses.collect::<JsonObject>()))
}

pub(crate) async fn status(app: App, call: Call) -> Answer {
    Ok(ok(&node_status(&app, &*find(&app, call.uid("uid")?)?)))
}

pub(crate) async fn check(app: App, call: Call) -> Answer {
    let host = find(&app, call.uid("uid")?)?;
    Ok(ok(
        &json!({"node_uid": app.uid(Subject::Host(host.id)), "result": true}),
    ))
}

pub(crate) async fn watchdog_all(app: App, _call: Call) -> Answer {
    let hosts = app.control().hosts();
    let statuses = hosts
        .iter()
        .map(|host| (app.uid(Subject::Host(host.id)).to_string(), watchdog_status(&app, host)));
    Ok(ok(&statuses.collect::<JsonObject>()))
}

pub(crate) async fn watchdog(app: App, call: Call) -> Answer {
    Ok(ok(&watchdog_status(&app, &*find(&app, call.uid("uid")?)?)))
}

/// The addresses of all nodes for clients outside, as their settings say.
pub(crate) fn external_addresses(app: &App) -> Vec<IpAddr> {
    let hosts = app.control().hosts();
    let documents = hosts
        .iter()
        .filter_map(|host| documents::read(app, Subject::Host(host.id), DOCUMENT));
    documents
        .flat_map(|document| {
            texts(document.get(EXTERNAL))
                .filter_map(|text| text.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The host that is the node with that uid.
pub(crate) fn find(app: &App, uid: u64) -> Result<Arc<Host>, Failure> {
    let id = ids::host(app.control(), uid);
    let host = app.control().hosts().into_iter().find(|host| Some(host.id) == id);
    host.ok_or_else(|| Failure::not_found("node_not_found", "there is no such node"))
}

/// The address of the cluster's machine that clients are told.
pub(crate) fn address(app: &App) -> String {
    let control = app.control();
    let advertised = control.settings().advertise_address;
    if advertised.is_unspecified() {
        let facts = control.host_facts();
        return addresses(&facts, advertised)
            .first()
            .map(|first| first.address.clone())
            .unwrap_or_default();
    }
    advertised.to_string()
}

/// Uids of the servers on a host: primaries, then replicas.
fn shards_on(app: &App, host: &Host) -> (Vec<u64>, Vec<u64>) {
    let (mut primaries, mut replicas) = (Vec::new(), Vec::new());
    for view in app.control().databases(&own_caller(app)) {
        for shard in &view.database.layout.shards {
            for server in shard.servers.iter().filter(|server| server.host == host.id) {
                let uid = app.uid(Subject::Server(server.id));
                if shard.lineage.primary == Some(server.id) {
                    primaries.push(uid)
                } else {
                    replicas.push(uid)
                }
            }
        }
    }
    primaries.sort_unstable();
    replicas.sort_unstable();
    (primaries, replicas)
}

fn describe(app: &App, host: &Host) -> NodeObject {
    let control = app.control();
    let facts = control.host_facts();
    let (primaries, replicas) = shards_on(app, host);
    let mut shard_list = primaries;
    shard_list.extend(replicas);
    shard_list.sort_unstable();
    let path = facts.data_dir.display().to_string();
    let stored = documents::read(app, Subject::Host(host.id), DOCUMENT);
    let mut settings = fields::merged(SETTINGS, stored.as_ref());
    // Where nobody set a limit, the ports that were configured are it.
    let endpoints = control.settings().port_range.len() as u64;
    for (name, limit) in [
        ("max_redis_servers", app.options().servers_max),
        ("max_listeners", endpoints),
    ] {
        if stored.as_ref().is_none_or(|stored| stored.get(name).is_none()) {
            settings.insert(name.to_owned(), limit.into());
        }
    }
    NodeObject {
        uid: app.uid(Subject::Host(host.id)),
        status: "active",
        addr: address(app),
        accept_servers: host.accepts_servers,
        rack_id: host.rack.clone(),
        architecture: facts.architecture.clone(),
        cores: facts.cores,
        total_memory: facts.memory_bytes,
        uptime: uptime_seconds(&facts, control.now()),
        os_family: os_family(&facts),
        os_name: facts.os_id.clone(),
        os_semantic_version: facts.os_version_id.clone(),
        os_version: facts.os_pretty_name.clone(),
        software_version: app.options().software_version.clone(),
        shard_count: shard_list.len(),
        ram_shard_count: shard_list.len(),
        flash_shard_count: 0,
        shard_list,
        ephemeral_storage_path: path.clone(),
        ephemeral_storage_size: storage_size(facts.storage_bytes),
        persistent_storage_path: path.clone(),
        persistent_storage_size: storage_size(facts.storage_bytes),
        bigredis_storage_path: path,
        supported_database_versions: supported_versions(&control.engines()),
        system_time: control.now().to_rfc3339_seconds(),
        settings,
    }
}

fn node_status(app: &App, host: &Host) -> NodeStatus {
    let control = app.control();
    let facts = control.host_facts();
    let (master_shards, slave_shards) = shards_on(app, host);
    let wanted: u64 = control
        .databases(&own_caller(app))
        .iter()
        .map(|view| view.database.spec.memory_bytes)
        .sum();
    NodeStatus {
        cores: facts.cores,
        hostname: facts.hostname.clone(),
        role: "master",
        node_status: "OK",
        software_version: app.options().software_version.clone(),
        software_version_sha: version_sha(),
        total_memory: facts.memory_bytes,
        free_ram: control.machine_load().memory_available_bytes,
        total_provisional_ram: facts.memory_bytes,
        free_provisional_ram: facts.memory_bytes.saturating_sub(wanted),
        node_overbooking_depth: wanted.saturating_sub(facts.memory_bytes),
        master_shards,
        slave_shards,
    }
}

fn watchdog_status(app: &App, host: &Host) -> Value {
    json!({
        "uid": app.uid(Subject::Host(host.id)),
        "status": "active",
        "uptime": app.control().now().since(app.control().started_at()).as_secs(),
    })
}
