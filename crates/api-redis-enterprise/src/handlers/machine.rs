//! What a database asks of the machine: room, and a place for its backups.

use pilothouse_control::Room;
use pilothouse_model::{Database, DatabaseSpec, Subject};

use crate::app::App;
use crate::documents;
use crate::error::Failure;
use crate::handlers::nodes;

/// Checks what a new spec asks for beyond that of the database that it is to replace; gives the room that it has to find.
pub(crate) async fn check(app: &App, known: Option<&Database>, wanted: &DatabaseSpec) -> Result<Room, Failure> {
    if known.is_none_or(|known| known.spec.backup != wanted.backup) {
        check_backup_location(app, wanted).await?;
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

/// A place for backups must take files when it is set.
async fn check_backup_location(app: &App, spec: &DatabaseSpec) -> Result<(), Failure> {
    let Some(backup) = spec.backup.as_ref().filter(|backup| backup.enabled) else {
        return Ok(());
    };
    let tried = app.control().check_writable(&backup.location).await;
    tried.map_err(|error| Failure::from(error).with_code("invalid_backup_location"))
}
