//! What a database asks of the machine: room, and a directory for its backups.

use pilothouse_model::{Database, DatabaseId, DatabaseSpec, Subject};
use serde_json::Value;

use crate::app::App;
use crate::auth::own_caller;
use crate::documents;
use crate::error::Failure;
use crate::handlers::nodes;

/// Checks what a new spec asks for beyond that of the database that it is to replace.
pub(crate) async fn check(app: &App, known: Option<&Database>, wanted: &DatabaseSpec) -> Result<(), Failure> {
    if known.is_none_or(|known| known.spec.backup != wanted.backup) {
        check_backup_directory(wanted).await?;
    }
    let grows =
        |known: &Database| wanted.memory_bytes > known.spec.memory_bytes || wanted.replicas > known.spec.replicas;
    if known.is_none_or(grows) {
        check_room(app, known.map(|known| known.id), wanted)?;
    }
    Ok(())
}

/// Refuses a database that the node has no room for: more memory than it has, where the policy forbids to overbook it, or more servers
/// than it may run, where somebody set that. Judged by what is recorded now: two requests at the same moment may both find room.
fn check_room(app: &App, known: Option<DatabaseId>, wanted: &DatabaseSpec) -> Result<(), Failure> {
    let limited_memory = !app.settings().policy_flag("shards_overbooking");
    let limit = app.control().hosts().first().and_then(|host| {
        let document = documents::read(app, Subject::Host(host.id), nodes::DOCUMENT)?;
        document.get("max_redis_servers").and_then(Value::as_u64)
    });
    if !limited_memory && limit.is_none() {
        return Ok(());
    }
    let servers_of = |spec: &DatabaseSpec| u64::from(spec.shards) * (1 + u64::from(spec.replicas));
    let (mut memory, mut servers) = (wanted.memory_bytes, servers_of(wanted));
    for view in app.control().databases(&own_caller(app)) {
        if Some(view.database.id) != known {
            memory = memory.saturating_add(view.database.spec.memory_bytes);
            servers += servers_of(&view.database.spec);
        }
    }
    let refused = |why: &str| Err(Failure::not_acceptable("insufficient_resources", why));
    if limited_memory && memory > app.control().host_facts().memory_bytes {
        return refused("the node has less memory than all databases together would have");
    }
    if limit.is_some_and(|limit| servers > limit) {
        return refused("the node would run more servers than max_redis_servers allows");
    }
    Ok(())
}

/// A directory for backups must be there when it is set, and take files.
async fn check_backup_directory(spec: &DatabaseSpec) -> Result<(), Failure> {
    let Some(pilothouse_model::Location::Directory { path }) = spec.backup.as_ref().map(|backup| &backup.location)
    else {
        return Ok(());
    };
    let no = |why: &str| {
        Err(Failure::not_acceptable(
            "invalid_backup_location",
            format!("{} {why}", path.display()),
        ))
    };
    match tokio::fs::metadata(path).await {
        Ok(found) if !found.is_dir() => no("is no directory"),
        Ok(found) if found.permissions().readonly() => no("cannot be written to"),
        Ok(_) => Ok(()),
        Err(_) => no("cannot be read"),
    }
}
