//! Servers that no record knows: leftovers of a commit that never came. They are ended and erased before anything else begins.

use std::collections::BTreeSet;

use pilothouse_model::{Database, ServerId};

use crate::{Control, ControlError};

/// Removes every server of the runtime that no record knows.
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
    drop(view);
    let found = control.0.runtime.list().await.map_err(ControlError::internal)?;
    for server in found
        .into_iter()
        .filter(|server| !known.contains(server) && !crate::gateway_process::is_gateway(*server))
    {
        tracing::info!(%server, "a server that no record knows is removed");
        if let Err(error) = control.erase_server(server).await {
            tracing::warn!(%server, %error, "it could not be removed and is tried again at the next start");
        }
    }
    Ok(())
}
