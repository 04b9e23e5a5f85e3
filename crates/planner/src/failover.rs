//! Who takes over: the replica with the most data, among those whose history is proven.

use std::collections::BTreeMap;

use pilothouse_model::{ServerId, ServerRole, Shard};

use crate::{ServerState, Verdict};

/// The replica that takes over when the primary is gone; `None` when none may.
///
/// Only a server that finished its first sync from the primary of this lineage counts, that is not syncing anew, and whose history is
/// the lineage's: an empty or older server is never promoted, whatever it says of itself (design §8, lineage). `fed` is the history that
/// an import feeds into the primary: a replica that has it whole holds what the import leads to.
pub fn candidate(shard: &Shard, fed: Option<&str>, servers: &BTreeMap<ServerId, ServerState>) -> Option<ServerId> {
    shard
        .replicas()
        .filter(|server| !server.leaving && shard.lineage.synced.contains(&server.id))
        .filter_map(|server| {
            let state = servers.get(&server.id)?;
            let replication = state.replication.as_ref()?;
            let alive = state.runs() && matches!(state.verdict, Verdict::Alive | Verdict::Unknown) && !state.loading;
            let known = |history: &str| history == shard.lineage.replication_id || Some(history) == fed;
            let same_history = shard.lineage.replication_id.is_empty()
                || known(&replication.replication_id)
                || known(&replication.previous_replication_id);
            (alive && replication.role == ServerRole::Replica && !replication.syncing && same_history)
                .then_some((replication.offset, server.id))
        })
        // Ids grow with time: among equals the one made first.
        .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))
        .map(|(_, id)| id)
}
