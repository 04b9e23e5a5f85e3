//! What becomes of servers whose version is not installed any more, because its package was replaced.

use pilothouse_model::{Server, Severity};
use pilothouse_store::Urgency;

use super::{Record, StepError};
use crate::{Control, events};

impl Control {
    /// Corrects the version of a server that is to be started, where its own is not installed any more: a patch reads the data of every
    /// other of its series, and the alternative is a server that stays down.
    ///
    /// # Errors
    /// [`StepError::Outdated`] when the record was corrected: the next look starts the server.
    pub(super) async fn correct_version(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        self.rediscover_engines().await;
        let kind = record.spec.engine;
        let (old, found) = (server.version, self.serving(kind, server.version)?.version);
        if found == old {
            return Ok(());
        }
        let of_spec = self.serving(kind, record.spec.version)?.version;
        let id = server.id;
        self.amend(record.id, Urgency::Normal, move |database| {
            let servers = database.layout.shards.iter_mut().flat_map(|shard| &mut shard.servers);
            for server in servers.filter(|server| server.id == id && server.version == old) {
                server.version = found;
            }
            database.spec.version = of_spec;
            let message = format!("{kind} {old} is not installed any more: a server is started with {found}");
            let (severity, actor) = (Severity::Warning, "reconcile");
            let mut event = events::about(database, "server-version-replaced", severity, actor, None, message);
            event.facts["before"] = old.to_string().into();
            event.facts["after"] = found.to_string().into();
            Ok(Some(event))
        })
        .await?;
        Err(StepError::Outdated)
    }
}
