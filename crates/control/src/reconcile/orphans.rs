//! Servers that no record knows: leftovers of a commit that never came. They are ended and erased before anything else begins.

use std::collections::BTreeSet;

use pilothouse_model::{Database, ServerId};

use crate::{Control, ControlError};

/// Removes every server of the runtime that no record knows.
///
/// # Errors
/// [`ControlError::Conflict`] when there is no record at all: a server outlives its record only beside others, because the last record of
/// a database goes after its servers. Such a store is another one, or new, and what lies here is somebody's data.
pub(crate) async fn remove(control: &Control) -> Result<(), ControlError> {
    let view = control.store().view();
    let known: BTreeSet<ServerId> = view
        .all::<Database>()
        .flat_map(|database| {
            database
                .layout
                .servers()
                .chain(database.fed_from())
                .map(|server| server.id)
                .collect::<Vec<_>>()
        })
        .collect();
    let nothing_recorded = view.count::<Database>() == 0;
    drop(view);
    let found = control.0.runtime.list().await.map_err(ControlError::internal)?;
    for server in found
        .into_iter()
        .filter(|server| !known.contains(server) && !crate::gateway_process::is_gateway(*server))
    {
        if nothing_recorded {
            return Err(ControlError::Conflict(format!(
                "the store holds no database, and there are servers such as {}: put the store back that belongs to them, or move them away",
                control.0.runtime.directory(server).display()
            )));
        }
        tracing::info!(%server, "a server that no record knows is removed");
        if let Err(error) = control.erase_server(server).await {
            tracing::warn!(%server, %error, "it could not be removed and is tried again at the next start");
        }
    }
    Ok(())
}
