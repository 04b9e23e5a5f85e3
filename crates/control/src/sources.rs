//! Sources of replication: databases elsewhere that ours follow.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use pilothouse_model::{Database, DatabaseId, ReplicaSource};
use tokio::net::TcpStream;

use crate::Control;

/// How long a source may take to accept a connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Sources that are tried at once.
const TRIED_AT_ONCE: usize = 32;

impl Control {
    /// Which of these databases follow a source that accepts connections, whatever it says then. Cancel-safe.
    pub async fn with_source_that_answers(&self, databases: &[&Database]) -> BTreeSet<DatabaseId> {
        let sources = databases
            .iter()
            .filter_map(|database| Some((database.id, database.spec.replica_of.clone()?)));
        futures_util::stream::iter(sources.collect::<Vec<_>>())
            .map(|(id, source)| async move { answers(&source).await.then_some(id) })
            .buffer_unordered(TRIED_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }
}

async fn answers(source: &ReplicaSource) -> bool {
    let connecting = TcpStream::connect((source.host.as_str(), source.port));
    matches!(tokio::time::timeout(ANSWER_TIMEOUT, connecting).await, Ok(Ok(_)))
}
