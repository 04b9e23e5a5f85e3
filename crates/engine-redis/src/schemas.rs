//! Schemas: these products have none. Their numbered databases are not offered (`databases 1`): they have neither names nor rights of
//! their own, and a server refuses to tell them apart in an ACL. What is left is to empty the one key space.

use pilothouse_engine::{Deadline, EngineError};

use crate::client::{Client, Command};

/// Removes all keys. Readers see none from the reply on; memory is given back afterwards, without holding up the server.
pub(crate) async fn flush(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    client
        .call(&Command::new(["FLUSHALL", "ASYNC"]), deadline)
        .await
        .map(drop)
}
