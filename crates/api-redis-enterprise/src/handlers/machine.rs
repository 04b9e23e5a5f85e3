//! What a database asks of the machine: room, and a directory for its backups.

use pilothouse_control::Room;
use pilothouse_model::{Database, DatabaseSpec, Subject};

use crate::app::App;
use crate::documents;
use crate::error::Failure;
use crate::handlers::nodes;

/// Checks what a new spec asks for beyond that of the database that it is to replace; gives the room that it has to find.
pub(crate) async fn check(app: &App, known: Option<&Database>, wanted: &DatabaseSpec) -> Result<Room, Failure> {
    if known.is_none_or(|known| known.spec.backup != wanted.backup) {
        check_backup_directory(wanted).await?;
    }
    Ok(room(app, known, wanted))
}

/// The room that a new spec has to find: the memory of the node, where the policy forbids to overbook it, and as many servers and
/// endpoints as it may have, where somebody set that. No limit for what does not grow.
fn room(app: &App, known: Option<&Database>, wanted: &DatabaseSpec) -> Room {
    let grows =
        |known: &Database| wanted.memory_bytes > known.spec.memory_bytes || wanted.replicas > known.spec.replicas;
    if !known.is_none_or(grows) {
        return Room::default();
    }
    let limits = app
        .control()
        .hosts()
        .first()
        .and_then(|host| documents::read(app, Subject::Host(host.id), nodes::DOCUMENT));
    let limit = |name: &str| limits.as_ref()?.get(name)?.as_u64();
    let overbooked = app.settings().policy_flag("shards_overbooking");
    Room {
        memory_bytes: (!overbooked).then(|| app.control().host_facts().memory_bytes),
        servers: limit("max_redis_servers"),
        endpoints: limit("max_listeners").filter(|_| known.is_none()),
    }
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
