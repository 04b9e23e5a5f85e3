//! Debug packages: what somebody who helps from afar needs, without secrets, as one archive. It is made in `debuginfo_path`, in a file that
//! has no name, so that whatever happens nothing is left there.

use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use pilothouse_api::header::{CONTENT_DISPOSITION, HeaderValue};
use pilothouse_api::{StatusCode, bytes_response};
use pilothouse_control::{DatabaseView, EventFilter};
use serde_json::{Value, json};

use crate::app::App;
use crate::archive::tar_gz;
use crate::call::{Answer, Call};
use crate::error::Failure;
use crate::handlers::nodes;
use crate::ids;

/// Last lines of each server's log.
const LOG_LINES: usize = 1000;
/// Newest events.
const EVENTS: usize = 2000;

pub(crate) async fn cluster(app: App, call: Call) -> Answer {
    let databases = app.control().databases(&call.caller);
    pack(&app, &call, &databases).await
}

pub(crate) async fn nodes(app: App, call: Call) -> Answer {
    cluster(app, call).await
}

pub(crate) async fn node(app: App, call: Call) -> Answer {
    nodes::find(&app, call.uid("uid")?)?;
    cluster(app, call).await
}

pub(crate) async fn bdbs(app: App, call: Call) -> Answer {
    cluster(app, call).await
}

pub(crate) async fn bdb(app: App, call: Call) -> Answer {
    let not_exist = || Failure::not_found("db_not_exist", "there is no such database");
    let id = ids::database(app.control(), call.uid("uid")?).ok_or_else(not_exist)?;
    let view = app.control().database(&call.caller, id)?;
    pack(&app, &call, std::slice::from_ref(&view)).await
}

async fn pack(app: &App, call: &Call, databases: &[DatabaseView]) -> Answer {
    let (control, settings) = (app.control(), app.settings());
    let mut files = vec![
        (
            "debuginfo/node.json".to_owned(),
            pretty(&json!({
                "host": *control.host_facts(),
                "load": control.machine_load(),
                "engines": control.engines(),
                "started_at": control.started_at().to_rfc3339_seconds(),
                "software_version": app.options().software_version,
                "pilothouse_version": env!("CARGO_PKG_VERSION"),
            })),
        ),
        (
            "debuginfo/cluster.json".to_owned(),
            pretty(&without_secrets(Value::Object(settings.cluster.clone()))),
        ),
        (
            "debuginfo/policy.json".to_owned(),
            pretty(&Value::Object(settings.policy.clone())),
        ),
        ("debuginfo/events.ndjson".to_owned(), events(app, call)),
    ];
    for view in databases {
        let uid = app.uid(pilothouse_model::Subject::Database(view.database.id));
        files.push((format!("debuginfo/bdb_{uid}.json"), pretty(&describe(view))));
        for server in view.database.layout.servers() {
            let shard = app.uid(pilothouse_model::Subject::Server(server.id));
            if let Ok(lines) = control.server_log(&call.caller, server.id, LOG_LINES).await {
                files.push((
                    format!("debuginfo/bdb_{uid}_shard_{shard}.log"),
                    lines.join("\n").into_bytes(),
                ));
            }
        }
    }
    let now = control.now().as_secs();
    let path = settings.cluster.get("debuginfo_path").and_then(Value::as_str);
    let path = PathBuf::from(path.unwrap_or_default());
    let packed = tokio::task::spawn_blocking(move || packed(&path, &files, now)).await;
    let packed = packed.map_err(Failure::internal)?;
    let packed = packed.map_err(|error| Failure::internal(format!("debuginfo_path takes no package: {error}")))?;
    let mut response = bytes_response(StatusCode::OK, "application/x-gzip", packed);
    let name = HeaderValue::from_static("attachment; filename=debuginfo.tar.gz");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Whether packages can be made in a directory.
pub(crate) fn takes_packages(path: &Path) -> bool {
    path.is_absolute() && tempfile::tempfile_in(path).is_ok()
}

fn packed(path: &Path, files: &[(String, Vec<u8>)], now: i64) -> io::Result<Vec<u8>> {
    let mut file = tar_gz(tempfile::tempfile_in(path)?, files, now)?;
    file.rewind()?;
    let mut package = Vec::new();
    file.read_to_end(&mut package)?;
    Ok(package)
}

/// A database without anything sealed: what it is made of and how it fares.
fn describe(view: &DatabaseView) -> Value {
    let database = &view.database;
    let servers: Vec<Value> = database
        .layout
        .servers()
        .map(|server| json!({"id": server.id, "host": server.host, "version": server.version, "ports": server.ports}))
        .collect();
    let seen: Vec<Value> = view
        .observation
        .servers
        .iter()
        .map(|(id, seen)| json!({"id": id, "at": seen.at.to_rfc3339_seconds(), "liveness": seen.liveness}))
        .collect();
    json!({
        "id": database.id, "name": database.name, "lifecycle": view.lifecycle, "generation": database.generation,
        "settled_generation": database.settled_generation, "engine": database.spec.engine, "version": database.spec.version,
        "memory_bytes": database.spec.memory_bytes, "replicas": database.spec.replicas, "persistence": database.spec.persistence,
        "endpoint": database.endpoint(), "conditions": database.conditions, "servers": servers, "observed": seen,
        "creation_error": database.creation_error,
    })
}

fn events(app: &App, call: &Call) -> Vec<u8> {
    let events = app.control().events(&call.caller, &EventFilter::default());
    let newest = events.iter().skip(events.len().saturating_sub(EVENTS));
    let lines = newest.filter_map(|event| serde_json::to_string(&**event).ok());
    lines.collect::<Vec<String>>().join("\n").into_bytes()
}

fn without_secrets(mut settings: Value) -> Value {
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|name, _| !name.starts_with("sealed_"));
    }
    settings
}

fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_default()
}
